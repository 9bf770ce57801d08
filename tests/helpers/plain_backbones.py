"""Backbones of five convolutions, small enough to be compiled in a test."""

from keras_vas import backbones
from keras_vas.backbones.backbone import Backbone


class Plain(Backbone):
    """Five convolutions of stride 2, for images."""

    rank = 2
    channels = (16, 24, 32, 48, 64)

    def stage(self, number, x):
        channels = self.channels[number - 1]
        return self._conv(x, channels, 3, f"stage_{number}", strides=2)


class PlainClip(Plain):
    """The same for clips, whose length is halved three times."""

    rank = 3

    def stage(self, number, x):
        channels = self.channels[number - 1]
        strides = (2 if number in (1, 4, 5) else 1, 2, 2)
        return self._conv(x, channels, 3, f"stage_{number}", strides=strides)


def register():
    """Makes both known to `CSTM` as "plain"."""
    backbones.SPATIAL_BACKBONES["plain"] = Plain
    backbones.TEMPORAL_BACKBONES["plain"] = PlainClip
