"""The one building block that all backbones share."""

import keras


def scaled(channels, width):
    """`channels` times `width`, to the nearest multiple of 8 (at least 8)."""
    return max(8, 8 * round(channels * width / 8))


def convolution(x, channels, kernel, strides=1, *, name, synchronized=False):
    """SAME convolution without bias, batch normalization, ReLU.

    The convolution is 2-D or 3-D by the rank of `x`; its layers are named
    `{name}_conv` and `{name}_bn`. Batch normalization has epsilon 1e-3 and,
    as in the published Inception weights, no gamma.
    """
    layer = keras.layers.Conv2D if len(x.shape) == 4 else keras.layers.Conv3D
    x = layer(
        channels,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    x = keras.layers.BatchNormalization(
        scale=False,
        epsilon=1e-3,
        synchronized=synchronized,
        name=f"{name}_bn",
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
