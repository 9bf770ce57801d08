"""Optical flow as a layer: Horn and Schunck, coarse to fine."""

import keras
from keras import ops

from keras_vas.models.compared.sampling import grid, sample

LARGEST = 20.0
_NEIGHBOURS = ((0, 1), (1, 0), (1, 2), (2, 1))


@keras.saving.register_keras_serializable("keras_vas")
class OpticalFlow(keras.layers.Layer):
    """How far each pixel of a frame moves to the next one.

    Of grey frames, 0 to 1, averaged over 2x2 cells `levels` - 1 times, the
    coarsest first. At each level, with (u, v) twice those of the level above,
    J the second frame at the places that they say, x and y derivatives of J
    by central differences, t = J - I, and (a, b) the means of the four
    neighbours, repeat `iterations` times, from (du, dv) = 0 on:

        e = (x (a - u) + y (b - v) + t) / (smoothness + x^2 + y^2)
        (u + du, v + dv) = (a, b) - e (x, y)

    where a and b are means of u + du and v + dv; cells beyond the border are
    those at the border. It is differentiable.

    Args:
        levels: sizes of the frames, each half of the one before.
        iterations: steps at each size.
        smoothness: how much neighbours agree, as grey values squared.

    Call arguments:
        frames: RGB 0..255, `(batch, time, height, width, 3)`; height and
            width are multiples of 2^(levels - 1).

    Output shape:
        `(batch, time, height, width, 2)`: columns and rows, clipped to 20
        pixels and divided by 20; that of the last frame repeats the one
        before.

    Reference:
        Horn and Schunck, "Determining Optical Flow", 1981. Flow that I3D was
        trained on is TV-L1, of consecutive frames.
    """

    def __init__(
        self,
        levels: int = 4,
        iterations: int = 20,
        smoothness: float = 1e-2,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.levels = levels
        self.iterations = iterations
        self.smoothness = smoothness

    def call(self, frames):
        grey = ops.mean(ops.cast(frames, "float32"), axis=-1) / 255
        batch, time, height, width = ops.shape(grey)
        pairs = (batch * (time - 1), height, width, 1)
        pyramid = [
            (
                ops.reshape(grey[:, :-1], pairs),
                ops.reshape(grey[:, 1:], pairs),
            )
        ]
        for _ in range(self.levels - 1):
            pyramid.append(
                tuple(ops.average_pool(x, 2, strides=2) for x in pyramid[-1])
            )
        flow = None
        for first, second in reversed(pyramid):
            if flow is None:
                flow = ops.concatenate([ops.zeros_like(first)] * 2, axis=-1)
            else:
                flow = 2 * ops.repeat(ops.repeat(flow, 2, axis=1), 2, axis=2)
            flow = self._refined(first, second, flow)
        flow = ops.clip(flow, -LARGEST, LARGEST) / LARGEST
        flow = ops.reshape(flow, (batch, time - 1, height, width, 2))
        flow = ops.concatenate([flow, flow[:, -1:]], axis=1)
        return ops.cast(flow, self.compute_dtype)

    def _refined(self, first, second, before):
        rows, columns = grid(first)
        moved = sample(
            second,
            ops.clip(
                rows + before[..., 1],
                0.0,
                ops.cast(ops.shape(first)[1] - 1, "float32"),
            ),
            ops.clip(
                columns + before[..., 0],
                0.0,
                ops.cast(ops.shape(first)[2] - 1, "float32"),
            ),
        )
        around = _bordered(moved)
        slope = ops.concatenate(
            [
                (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]) / 2,
                (around[:, 2:, 1:-1] - around[:, :-2, 1:-1]) / 2,
            ],
            axis=-1,
        )
        change = moved - first
        size = self.smoothness + ops.sum(
            ops.square(slope), axis=-1, keepdims=True
        )
        flow = before
        for _ in range(self.iterations):
            mean = _mean_of_neighbours(flow)
            error = ops.sum(slope * (mean - before), axis=-1, keepdims=True)
            flow = mean - (error + change) / size * slope
        return flow

    def compute_output_shape(self, frames_shape):
        return (*frames_shape[:-1], 2)

    def get_config(self):
        return {
            **super().get_config(),
            "levels": self.levels,
            "iterations": self.iterations,
            "smoothness": self.smoothness,
        }


def _bordered(x):
    """A map with a border of one cell that repeats what is at its edge."""
    x = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
    return ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)


def _mean_of_neighbours(x):
    around, shape = _bordered(x), ops.shape(x)
    return 0.25 * sum(
        around[:, row : row + shape[1], column : column + shape[2]]
        for row, column in _NEIGHBOURS
    )
