"""CMDy's filter: other weights at every cell, and other places."""

import math

import keras
from keras import ops

from keras_vas.models.compared.sampling import grid, sample

TAPS = 9
CENTRE = 4


@keras.saving.register_keras_serializable("keras_vas")
class DeformableFilter(keras.layers.Layer):
    """Sums a group of channels over a 3x3 window whose places may move.

    With o_l the nine offsets of a window and d_l(p) what is learnt to be
    added to them at cell p, of group j with its channels i:

        y_j(p) = sum_i t_i sum_l k_il(p) v_i(p + o_l + d_l(p))

    v is bilinear between cells and zero outside of the map.

    Args:
        group: channels in a group.

    Call arguments:
        visual: v, `(batch, height, width, channels)`.
        offsets: d, `(batch, height, width, 18)`: row and column of the first
            place, then of the second, from left to right and down.
        filters: k, `(batch, height, width, 9 channels)`: those of all
            channels for the first place, then for the second.
        sentence: t, `(batch, channels)`.

    Output shape:
        `(batch, height, width, channels / group)`.

    Reference:
        Wang et al., AAAI 2020; the moving places are those of Dai et al.,
        "Deformable Convolutional Networks", ICCV 2017.
    """

    def __init__(self, group: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.group = group

    def build(self, visual_shape, offsets_shape, filters_shape, sentence_shape):
        if visual_shape[-1] % self.group:
            raise ValueError(
                f"group must divide the channels. Received: group={self.group},"
                f" visual_shape={visual_shape}"
            )
        self.built = True

    def call(self, visual, offsets, filters, sentence):
        rows, columns = grid(visual)
        offsets = ops.cast(offsets, "float32")
        channels, total = visual.shape[-1], 0.0
        for tap in range(TAPS):
            moved = sample(
                visual,
                rows + (tap // 3 - 1) + offsets[..., 2 * tap],
                columns + (tap % 3 - 1) + offsets[..., 2 * tap + 1],
            )
            first = tap * channels
            total += moved * filters[..., first : first + channels]
        total *= sentence[:, None, None]
        shape = ops.shape(visual)[:3]
        groups = (channels // self.group, self.group)
        return ops.sum(ops.reshape(total, (*shape, *groups)), axis=-1)

    def multiply_adds(self, visual_shape, offsets_shape, literal):
        """Multiply-adds of one call, four for each place between cells."""
        return math.prod(visual_shape[1:]) * (TAPS * (4 + 1) + 1)

    def compute_output_shape(
        self, visual_shape, offsets_shape, filters_shape, sentence_shape
    ):
        return (*visual_shape[:-1], visual_shape[-1] // self.group)

    def get_config(self):
        return {**super().get_config(), "group": self.group}
