"""Bilinear upsampling by two, as shifts and adds."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class BilinearUpsampling(keras.layers.Layer):
    """Doubles height and width bilinearly (the Upsample of equation 9).

    With half-pixel centres, an output row is a fixed mix of two input rows,

        y[2 i] = 1/4 x[i - 1] + 3/4 x[i],  y[2 i + 1] = 3/4 x[i] + 1/4 x[i + 1]

    (the border row repeats itself), and columns likewise: the values of
    `keras.layers.UpSampling2D(2, interpolation="bilinear")`, at a fraction of
    the cost of a general resize and of its gradient.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Output shape:
        `(batch, 2 height, 2 width, channels)`.
    """

    def call(self, inputs):
        return _double(_double(inputs, axis=1), axis=2)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (
            batch,
            None if height is None else 2 * height,
            None if width is None else 2 * width,
            channels,
        )


def _double(x, axis):
    shape = ops.shape(x)
    index = [slice(None)] * 4

    def along(part):
        index[axis] = part
        return x[tuple(index)]

    before = ops.concatenate([along(slice(0, 1)), along(slice(0, -1))], axis)
    after = ops.concatenate(
        [along(slice(1, None)), along(slice(-1, None))], axis
    )
    even = 0.25 * before + 0.75 * x
    odd = 0.75 * x + 0.25 * after
    doubled = ops.stack([even, odd], axis=axis + 1)
    return ops.reshape(
        doubled, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    )
