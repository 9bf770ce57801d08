"""ResNet-50 and I3D as the authors' code has them.

They differ from `keras_vas.backbones` in what happens at the borders of maps,
in where a block of ResNet strides, and in the pixels, 0 to 1. Between their
stages stand CMAMs, after which a feature may be negative: then it matters
whether a pooling pads with zeros or with nothing.
"""

import keras
from keras import ops

from keras_vas.backbones.i3d import I3D
from keras_vas.backbones.resnet50 import ResNet50

_LOWEST = -3e38


def _unit_range(x, name):
    """[-1, 1] to [0, 1]."""
    return keras.layers.Rescaling(0.5, offset=0.5, name=name)(x)


class AuthorsResNet50(ResNet50):
    """ResNet-50 whose blocks stride in their 3x3 convolution.

    Its pooling pads with nothing. Reference: torchvision's `resnet50`.
    """

    def preprocess(self, frames):
        """RGB 0..255 to [0, 1]."""
        x = super(ResNet50, self).preprocess(frames)
        return _unit_range(x, f"{self.name}_unit_range")

    def _stage_2(self, x):
        sides = [[0, 0], [1, 1], [1, 1], [0, 0]]
        x = ops.pad(x, sides, constant_values=_LOWEST)
        x = keras.layers.MaxPooling2D(
            3, strides=2, name=f"{self.name}_pool1_pool"
        )(x)
        return self._blocks(x, 64, 3, "conv2", strides=1)

    def _narrow(self, x, channels, block, strides):
        x = self._conv_bn(x, channels, 1, f"{block}_1")
        x = self._relu(x, f"{block}_1_relu")
        x = self._zero_padding(x, 1, f"{block}_2_pad")
        return self._conv_bn(
            x, channels, 3, f"{block}_2", strides=strides, padding="valid"
        )


class AuthorsI3D(I3D):
    """I3D whose poolings pad with zeros."""

    def preprocess(self, frames):
        """RGB 0..255 to [0, 1]."""
        x = super().preprocess(frames)
        return _unit_range(x, f"{self.name}_unit_range")

    def _max_pool(self, x, size, strides, name):
        sizes, steps = (
            (value,) * 3 if isinstance(value, int) else value
            for value in (size, strides)
        )
        sides = [
            ((length - step) // 2, length - step - (length - step) // 2)
            for length, step in zip(sizes, steps, strict=True)
        ]
        x = keras.layers.ZeroPadding3D(sides, name=f"{self.name}_{name}_pad")(x)
        return keras.layers.MaxPooling3D(
            size, strides=strides, name=f"{self.name}_{name}"
        )(x)
