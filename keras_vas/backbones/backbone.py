"""What all backbones share: five stages of named convolutions."""

import keras

from keras_vas.layers.frame_scaling import FrameScaling


def scaled(channels, width):
    """`channels` times `width`, to the nearest multiple of 8 (at least 8)."""
    return max(8, 8 * round(channels * width / 8))


class Backbone:
    """A network as five stages, each added to a functional graph by itself.

    A subclass has the methods `_stage_1(x)` to `_stage_5(x)`, which build
    their convolutions with `_conv`, and says its `rank` (2 for images, 3 for
    clips) and `channels`, those of the five stages at width 1. Stage i is
    2^i times smaller than the frames.

    Args:
        width: multiplier of all channel counts, see `scaled`.
        name: prefix of all layer names.
        synchronized: batch statistics over all replicas (TensorFlow only).
    """

    rank: int
    channels: tuple

    def __init__(self, width=1.0, name="backbone", synchronized=False):
        self.width = width
        self.name = name
        self.synchronized = synchronized

    def preprocess(self, frames):
        """Pixel values 0..255 to what the weights expect: [-1, 1]."""
        return FrameScaling(name=f"{self.name}_scaling")(frames)

    def stage(self, number, x):
        """Adds stage `number` (1 to 5) on top of `x`."""
        return getattr(self, f"_stage_{number}")(x)

    def _conv(self, x, channels, kernel, name, strides=1):
        """SAME convolution without bias, batch normalization, ReLU.

        2-D or 3-D by the rank of `x`; the layers are named
        `{self.name}_{name}_conv` and `..._bn`. Batch normalization has
        epsilon 1e-3 and, as in the published Inception weights, no gamma.
        """
        name = f"{self.name}_{name}"
        convolution = (
            keras.layers.Conv2D if self.rank == 2 else keras.layers.Conv3D
        )
        x = convolution(
            scaled(channels, self.width),
            kernel,
            strides=strides,
            padding="same",
            use_bias=False,
            name=f"{name}_conv",
        )(x)
        x = keras.layers.BatchNormalization(
            scale=False,
            epsilon=1e-3,
            synchronized=self.synchronized,
            name=f"{name}_bn",
        )(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def _concatenate(self, block, *branches):
        return keras.layers.Concatenate(name=f"{self.name}_{block}")(branches)
