"""S3D, the separable 3-D Inception, with and without feature gating."""

import keras

from keras_vas.backbones.i3d import I3D


class S3D(I3D):
    """S3D, stage by stage, for `(batch, time, height, width, 3)` clips.

    The layers, stages, strides and channels of `I3D`, with every k x k x k
    convolution of k > 1 made of two: 1 x k x k over space, then k x 1 x 1 over
    time, each with batch normalization and ReLU. The channels between the
    two are those after them, and a stride is split likewise.

    The two are named `{name}_{layer}_spatial_conv` and
    `{name}_{layer}_temporal_conv`, with `_bn` likewise. The kernels of a
    trained I3D cannot be loaded: a k x k x k kernel is no product of these
    two.

    Reference:
        Xie et al., "Rethinking Spatiotemporal Feature Learning:
        Speed-Accuracy Trade-offs in Video Classification", ECCV 2018.
    """

    def _conv(self, x, channels, kernel, name, strides=1):
        if kernel == 1:
            return super()._conv(x, channels, 1, name, strides)
        x = super()._conv(
            x,
            channels,
            (1, kernel, kernel),
            f"{name}_spatial",
            (1, strides, strides),
        )
        return super()._conv(
            x,
            channels,
            (kernel, 1, 1),
            f"{name}_temporal",
            (strides, 1, 1),
        )


class S3DG(S3D):
    """S3D-G: S3D with feature gating after every convolution over time.

        Y = X * sigmoid(W mean(X) + b)

    with the mean over time, height and width, so that each channel is
    weighed by what the whole clip shows. W and b are the `Dense` layer
    `{name}_{layer}_gate`.
    """

    def _conv(self, x, channels, kernel, name, strides=1):
        x = super()._conv(x, channels, kernel, name, strides)
        if kernel == 1:
            return x
        name = f"{self.name}_{name}"
        mean = keras.layers.GlobalAveragePooling3D(
            keepdims=True, name=f"{name}_mean"
        )(x)
        gate = keras.layers.Dense(
            x.shape[-1], activation="sigmoid", name=f"{name}_gate"
        )(mean)
        return keras.layers.Multiply(name=f"{name}_gated")([x, gate])
