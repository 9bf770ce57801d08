"""Matrix capsules: votes, and who agrees with them."""

import math

import keras
from keras import ops

_EPSILON = 1e-6
_LOG_2_PI = math.log(2 * math.pi)


@keras.saving.register_keras_serializable("keras_vas")
class EMRouting(keras.layers.Layer):
    """Routes I capsules to J by expectation and maximization, cell by cell.

    A capsule is a 4x4 pose M and an activation a. Votes are V_ij = M_i W_ij,
    with W_ij 4x4 and the same at every cell. From r_ij = 1/J on, t = 1 ... n:

        M  c_ij = r_ij a_i,  s_j = sum_i c_ij
           mu_j, sigma_j^2 = mean and variance of V_ij, weighed by c_ij / s_j
           a_j = sigmoid(l_t (b_j - s_j sum_h (u_j + log sigma_jh)))
        E  r_ij = softmax over j of log a_j + log N(V_ij; mu_j, sigma_j^2)

    with h the 16 numbers of a pose and l_t = (1 - 0.95^t) / 100. The E step
    is left out after the last M step. Arithmetic is float32. A later program
    of the authors' lab also normalizes c_ij over j, which would cancel a_i.

    Args:
        capsules: J.
        iterations: n.

    Call arguments:
        poses: M, `(batch, height, width, I, 16)`.
        activations: a, `(batch, height, width, I)`.

    Output shape:
        `(batch, height, width, J, 16)` and `(batch, height, width, J)`.

    Reference:
        Hinton et al., "Matrix Capsules with EM Routing", ICLR 2018.
    """

    def __init__(self, capsules: int = 8, iterations: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.capsules = capsules
        self.iterations = iterations

    def build(self, poses_shape, activations_shape):
        count = poses_shape[-2]
        self.votes = self.add_weight(
            name="votes",
            shape=(count, self.capsules, 4, 4),
            initializer=keras.initializers.RandomNormal(stddev=0.5),
        )
        self.cost = self.add_weight(
            name="cost", shape=(self.capsules,), initializer="zeros"
        )
        self.benefit = self.add_weight(
            name="benefit", shape=(self.capsules,), initializer="zeros"
        )
        self.built = True

    def call(self, poses, activations):
        dtype = poses.dtype
        poses, activations, weights, cost, benefit = (
            ops.cast(x, "float32")
            for x in (
                poses, activations, self.votes, self.cost, self.benefit
            )
        )  # fmt: skip
        shape = ops.shape(poses)
        count = poses.shape[-2]
        votes = ops.einsum(
            "bhwixy,ijyz->bhwijxz",
            ops.reshape(poses, (*shape[:3], count, 4, 4)),
            weights,
        )
        votes = ops.reshape(votes, (*shape[:3], count, self.capsules, 16))
        share = 1 / self.capsules
        for t in range(1, self.iterations + 1):
            part = (share * activations[..., None])[..., None]
            if t == 1:
                part = part * ops.ones_like(votes[..., :1])
            total = ops.sum(part, axis=3, keepdims=True)
            part = part / (total + _EPSILON)
            mean = ops.sum(part * votes, axis=3, keepdims=True)
            distance = ops.square(votes - mean)
            variance = ops.sum(part * distance, axis=3, keepdims=True)
            variance = variance + _EPSILON
            log_deviation = 0.5 * ops.log(variance)
            spread = ops.sum(cost[:, None] + log_deviation, axis=-1)[..., 0, :]
            scale = 0.01 * (1 - 0.95**t)
            chosen = ops.sigmoid(
                scale * (benefit - total[..., 0, :, 0] * spread)
            )
            if t < self.iterations:
                density = -ops.sum(
                    distance / (2 * variance) + log_deviation + _LOG_2_PI / 2,
                    axis=-1,
                )
                share = ops.softmax(
                    ops.log(chosen + _EPSILON)[..., None, :] + density
                )
        return ops.cast(mean[..., 0, :, :], dtype), ops.cast(chosen, dtype)

    def multiply_adds(self, poses_shape, activations_shape, literal):
        """Multiply-adds of one call: the votes, and their two moments."""
        cells = math.prod(poses_shape[1:-1]) * self.capsules
        return cells * (64 + 32 * self.iterations)

    def compute_output_shape(self, poses_shape, activations_shape):
        poses = (*poses_shape[:3], self.capsules, 16)
        return poses, poses[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "capsules": self.capsules,
            "iterations": self.iterations,
        }
