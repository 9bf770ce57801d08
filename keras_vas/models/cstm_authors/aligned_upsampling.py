"""Bilinear doubling between the centres of the outermost cells."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class AlignedUpsampling(keras.layers.Layer):
    """Doubles height and width; corners stay corners.

    Cell i of the 2 n cells of a side lies at i (n - 1) / (2 n - 1) between
    the n given ones (`align_corners` of PyTorch). `UpSampling2D` and equation
    9 of the paper count from the outer edges instead.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Output shape:
        `(batch, 2 height, 2 width, channels)`.
    """

    def call(self, x):
        for axis, product in ((1, "ph,bhwc->bpwc"), (2, "pw,bhwc->bhpc")):
            x = ops.einsum(product, self._weights(ops.shape(x)[axis]), x)
        return x

    def _weights(self, size):
        count = ops.cast(size, "float32")
        step = (count - 1) / (2 * count - 1)
        places = ops.cast(ops.arange(2 * size), "float32") * step
        cells = ops.cast(ops.arange(size), "float32")
        distance = ops.abs(places[:, None] - cells[None])
        return ops.cast(ops.relu(1 - distance), self.compute_dtype)

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        return (
            batch,
            height and 2 * height,
            width and 2 * width,
            channels,
        )
