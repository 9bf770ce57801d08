"""The 8-channel relative position of every cell of a feature map."""

import keras
from keras import ops

COORDINATE_CHANNELS = 8


def coordinate_map(height: int, width: int, dtype: str = "float32"):
    """Coordinates of an H x W map.

    Cell (h, w) holds `[xmin, ymin, xmax, ymax, xctr, yctr, 1/W, 1/H]` with

        xmin = 2 w / W - 1,   xmax = 2 (w + 1) / W - 1,
        xctr = (xmin + xmax) / 2,   and y likewise with h and H,

    so the map spans [-1, 1] in both directions whatever its size.

    Args:
        height: H, int or scalar integer tensor.
        width: W, likewise.
        dtype: dtype of the result; the arithmetic is float32.

    Returns:
        Tensor `(height, width, 8)`.
    """
    columns = _edges_and_centre(width)
    rows = _edges_and_centre(height)
    xmin, xmax, xctr, x_size = (
        ops.broadcast_to(c[None, :], (height, width)) for c in columns
    )
    ymin, ymax, yctr, y_size = (
        ops.broadcast_to(r[:, None], (height, width)) for r in rows
    )
    coordinates = ops.stack(
        [xmin, ymin, xmax, ymax, xctr, yctr, x_size, y_size], axis=-1
    )
    return ops.cast(coordinates, dtype)


def _edges_and_centre(size):
    """Lower edge, upper edge, centre and 1/size of `size` cells."""
    count = ops.cast(size, "float32")
    lower = 2.0 * ops.cast(ops.arange(size), "float32") / count - 1.0
    upper = lower + 2.0 / count
    return lower, upper, lower + 1.0 / count, ops.zeros_like(lower) + 1 / count


@keras.saving.register_keras_serializable("keras_vas")
class Coordinates(keras.layers.Layer):
    """Relative position of every cell of a feature map (section 3.1).

    The values are those of `coordinate_map`, the same for every frame.

    Call arguments:
        visual: `(batch, height, width, channels)` or
            `(batch, time, height, width, channels)`; only its shape is used.

    Output shape:
        That of `visual` with 8 channels.

    Reference:
        Hui et al., CVPR 2021; the 8 channels follow Wang et al., "Asymmetric
        Cross-Guided Attention Network", ICCV 2019.
    """

    def call(self, visual):
        shape = ops.shape(visual)
        coordinates = coordinate_map(shape[-3], shape[-2], self.compute_dtype)
        return ops.broadcast_to(coordinates, (*shape[:-1], COORDINATE_CHANNELS))

    def compute_output_shape(self, visual_shape):
        return (*visual_shape[:-1], COORDINATE_CHANNELS)
