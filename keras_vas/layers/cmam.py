"""Cross-modal adaptive modulation (section 3.2 of the paper)."""

import math
from typing import Literal

import keras
from keras import ops

from keras_vas.layers.coordinates import (
    COORDINATE_CHANNELS,
    Coordinates,
    coordinate_map,
)

COORDINATE_FUSIONS = ("conv", "linear")
GATES = ("residual", "centred")


@keras.saving.register_keras_serializable("keras_vas")
class CMAM(keras.layers.Layer):
    """Modulates a visual feature by the words that matter for it.

    With V the visual feature, P its coordinates, L the words (N x C_L) and
    j running over all positions (of all frames in 3-D):

        U     = ReLU(BN(Conv([V; P])))   coordinate_fusion="conv"
        U     = [V; P]                   coordinate_fusion="linear"
        k_j   = W_k u_j + b_k            (1)  keys, C_M channels
        q_n   = W_q L_n + b_q            (2)  queries, C_M channels
        A_nj  = q_n . k_j                (3)
        omega = sum_j A_j                (4)
        omega~ = softmax(omega / |omega|_2),  l = sum_n omega~_n L_n
        g     = sigmoid(Linear(l))       (5)
        V~    = V + V * g                (6)  gate="residual"
        V~    = V + U * (g - 1/2)             gate="centred"

    `gate="centred"` starts as the identity (its Linear is zero at first), so
    that a pretrained backbone is undisturbed by the first steps; with
    `coordinate_fusion="linear"` its U is V, which has the channels of g.

    Equations 1 to 4 need no N x HW map. Keys are affine in U and omega is
    linear in the keys, so `sum_j q_n . k_j = q_n . (W_k sum_j u_j + HW b_k)`,
    and because of the norm the sum may be a mean:

        omega ~ q_n . (W_k mean_j(u_j) + b_k).

    The result is exact. The map A itself (figure 5 of the paper) is computed
    only with `return_attention=True`.

    Args:
        key_channels: int. C_M.
        coordinate_fusion: `"conv"` (3x3 or 3x3x3) or `"linear"`.
        gate: `"residual"` or `"centred"`.
        return_attention: bool. Also return A.
        synchronized: bool. Synchronize batch statistics over replicas
            (TensorFlow only).

    Call arguments:
        visual: V, `(batch, height, width, channels)` or
            `(batch, time, height, width, channels)`.
        words: L, `(batch, words, text_channels)`.
        word_mask: bool `(batch, words)`, False at padding. Padded words take
            no part in the norm, the softmax or the sum; a sentence without
            any word gives l = 0.

    Output shape:
        That of `visual`; with `return_attention`, a pair with A,
        `(batch, words, [time,] height, width)`.

    Reference:
        Hui et al., CVPR 2021, equations 1 to 6 and figure 3.
    """

    def __init__(
        self,
        key_channels: int = 256,
        coordinate_fusion: Literal[*COORDINATE_FUSIONS] = "conv",
        gate: Literal[*GATES] = "residual",
        return_attention: bool = False,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if coordinate_fusion not in COORDINATE_FUSIONS:
            raise ValueError(
                f"coordinate_fusion must be one of {COORDINATE_FUSIONS}. "
                f"Received: coordinate_fusion={coordinate_fusion!r}"
            )
        if gate not in GATES:
            raise ValueError(
                f"gate must be one of {GATES}. Received: gate={gate!r}"
            )
        self.key_channels = key_channels
        self.coordinate_fusion = coordinate_fusion
        self.gate = gate
        self.return_attention = return_attention
        self.synchronized = synchronized

    def build(self, visual_shape, words_shape):
        rank = len(visual_shape) - 2
        if rank not in (2, 3):
            raise ValueError(
                "visual must have rank 4 (2-D) or 5 (3-D). "
                f"Received: visual_shape={visual_shape}"
            )
        channels = visual_shape[-1]
        dtype = self.dtype_policy
        self.position_axes = tuple(range(1, rank + 1))
        fused_shape = (*visual_shape[:-1], channels + COORDINATE_CHANNELS)
        if self.coordinate_fusion == "conv":
            convolution = (
                keras.layers.Conv2D if rank == 2 else keras.layers.Conv3D
            )
            self.coordinates = Coordinates(dtype=dtype, name="coordinates")
            self.fusion_conv = convolution(
                channels,
                3,
                padding="same",
                use_bias=False,
                dtype=dtype,
                name="fusion_conv",
            )
            self.fusion_bn = keras.layers.BatchNormalization(
                synchronized=self.synchronized, dtype=dtype, name="fusion_bn"
            )
            self.fusion_conv.build(fused_shape)
            self.fusion_bn.build(visual_shape)
            fused_shape = visual_shape
        self.key = keras.layers.Dense(
            self.key_channels, dtype=dtype, name="key"
        )
        self.query = keras.layers.Dense(
            self.key_channels, dtype=dtype, name="query"
        )
        self.gate_linear = keras.layers.Dense(
            channels,
            kernel_initializer=(
                "zeros" if self.gate == "centred" else "glorot_uniform"
            ),
            dtype=dtype,
            name="gate_linear",
        )
        self.key.build(fused_shape)
        self.query.build(words_shape)
        self.gate_linear.build((words_shape[0], words_shape[-1]))
        self.built = True

    def call(self, visual, words, word_mask=None, training=None):
        fused = self._fuse_coordinates(visual, training)
        queries = self.query(words)
        relevance = ops.einsum(
            "bnm,bm->bn", queries, self.key(self._mean(visual, fused))
        )
        sentence = self._recombine(relevance, words, word_mask)
        gate = ops.sigmoid(self.gate_linear(sentence))
        gate = ops.expand_dims(gate, self.position_axes)
        if self.gate == "residual":
            modulated = visual + visual * gate
        elif fused is None:
            modulated = visual + visual * (gate - 0.5)
        else:
            modulated = visual + fused * (gate - 0.5)
        if not self.return_attention:
            return modulated
        return modulated, self._attention(visual, fused, queries)

    def _fuse_coordinates(self, visual, training):
        """U for `"conv"`; `None` for `"linear"`, where it is not built."""
        if self.coordinate_fusion == "linear":
            return None
        located = ops.concatenate([visual, self.coordinates(visual)], axis=-1)
        fused = self.fusion_bn(self.fusion_conv(located), training=training)
        return ops.relu(fused)

    def _mean(self, visual, fused):
        """mean_j(u_j), `(batch, channels of U)`."""
        if fused is not None:
            return ops.mean(fused, axis=self.position_axes)
        mean = ops.mean(visual, axis=self.position_axes)
        shape = ops.shape(visual)
        where = ops.mean(coordinate_map(shape[-3], shape[-2]), axis=(0, 1))
        where = ops.broadcast_to(
            ops.cast(where, mean.dtype), (shape[0], COORDINATE_CHANNELS)
        )
        return ops.concatenate([mean, where], axis=-1)

    def _recombine(self, relevance, words, word_mask):
        """Equation 4: the sentence feature l, `(batch, text_channels)`."""
        relevance = ops.cast(relevance, "float32")
        if word_mask is None:
            present = ops.ones_like(relevance)
        else:
            present = ops.cast(word_mask, "float32")
        relevance = relevance * present
        square = ops.sum(ops.square(relevance), axis=-1, keepdims=True)
        unit = relevance * ops.rsqrt(ops.maximum(square, 1e-24))
        # |unit| <= 1, so the softmax needs no shift to be safe.
        weights = ops.exp(unit) * present
        total = ops.sum(weights, axis=-1, keepdims=True)
        weights = weights / ops.maximum(total, 1e-12)
        return ops.einsum("bn,bnc->bc", ops.cast(weights, words.dtype), words)

    def _attention(self, visual, fused, queries):
        """Equation 3 in full: A, `(batch, words, positions...)`."""
        if fused is None:
            coordinates = Coordinates(dtype=self.dtype_policy)(visual)
            fused = ops.concatenate([visual, coordinates], axis=-1)
        positions = "hw" if len(self.position_axes) == 2 else "thw"
        return ops.einsum(
            f"bnm,b{positions}m->bn{positions}", queries, self.key(fused)
        )

    def multiply_adds(self, visual_shape, words_shape, literal):
        """Multiply-adds of one call; see `models.summary.count`."""
        positions, words = math.prod(visual_shape[1:-1]), words_shape[1]
        keys = math.prod(self.key.kernel.shape)
        queries = math.prod(self.query.kernel.shape)
        total = words * (queries + self.query.kernel.shape[0])
        total += math.prod(self.gate_linear.kernel.shape)
        if self.coordinate_fusion == "conv":
            total += positions * math.prod(self.fusion_conv.kernel.shape)
        if literal:
            return total + positions * (keys + words * self.key_channels)
        return total + keys + words * self.key_channels

    def compute_output_shape(self, visual_shape, words_shape):
        if not self.return_attention:
            return visual_shape
        positions = visual_shape[1:-1]
        return visual_shape, (visual_shape[0], words_shape[1], *positions)

    def get_config(self):
        return {
            **super().get_config(),
            "key_channels": self.key_channels,
            "coordinate_fusion": self.coordinate_fusion,
            "gate": self.gate,
            "return_attention": self.return_attention,
            "synchronized": self.synchronized,
        }
