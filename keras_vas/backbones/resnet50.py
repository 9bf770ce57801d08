"""ResNet-50 in five stages, numerically that of keras.applications."""

import keras

from keras_vas.backbones.backbone import Backbone, scaled
from keras_vas.layers.frame_scaling import FrameScaling

# What the ImageNet weights expect to be subtracted: blue, green, red.
MEAN_BGR = (103.939, 116.779, 123.68)


class ResNet50(Backbone):
    """ResNet-50, stage by stage, for `(batch, height, width, 3)` frames.

    | stage | layers      | stride | channels |
    |-------|-------------|--------|----------|
    | 1     | conv1       | 2      | 64       |
    | 2     | pool, conv2 | 4      | 256      |
    | 3     | conv3       | 8      | 512      |
    | 4     | conv4       | 16     | 1024     |
    | 5     | conv5       | 32     | 2048     |

    Layers are named as in `keras.applications.ResNet50`, behind the prefix:
    `{name}_conv2_block1_1_conv`, `{name}_conv2_block1_1_bn`. As there,
    convolutions have a bias, batch normalization has gamma and epsilon
    1.001e-5, the stride of a block is in its first convolution, and the first
    convolution and the pooling pad with explicit zeros on all sides.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    rank = 2
    channels = (64, 256, 512, 1024, 2048)

    def preprocess(self, frames):
        """RGB 0..255 to BGR less `MEAN_BGR`, in float32."""
        x = FrameScaling(name=f"{self.name}_scaling", dtype="float32")(frames)
        return keras.layers.Rescaling(
            127.5,
            offset=[127.5 - mean for mean in MEAN_BGR],
            dtype="float32",
            name=f"{self.name}_mean_subtraction",
        )(x[..., ::-1])

    def _stage_1(self, x):
        x = self._zero_padding(x, 3, "conv1_pad")
        x = self._conv_bn(x, 64, 7, "conv1", strides=2, padding="valid")
        return self._relu(x, "conv1_relu")

    def _stage_2(self, x):
        x = self._zero_padding(x, 1, "pool1_pad")
        x = keras.layers.MaxPooling2D(
            3, strides=2, name=f"{self.name}_pool1_pool"
        )(x)
        return self._blocks(x, 64, 3, "conv2", strides=1)

    def _stage_3(self, x):
        return self._blocks(x, 128, 4, "conv3")

    def _stage_4(self, x):
        return self._blocks(x, 256, 6, "conv4")

    def _stage_5(self, x):
        return self._blocks(x, 512, 3, "conv5")

    def _blocks(self, x, channels, count, name, strides=2):
        for number in range(1, count + 1):
            block = f"{name}_block{number}"
            shortcut = x
            if number == 1:
                shortcut = self._conv_bn(
                    x, 4 * channels, 1, f"{block}_0", strides=strides
                )
            else:
                strides = 1
            x = self._narrow(x, channels, block, strides)
            x = self._relu(x, f"{block}_2_relu")
            x = self._conv_bn(x, 4 * channels, 1, f"{block}_3")
            x = keras.layers.Add(name=f"{self.name}_{block}_add")([shortcut, x])
            x = self._relu(x, f"{block}_out")
        return x

    def _narrow(self, x, channels, block, strides):
        x = self._conv_bn(x, channels, 1, f"{block}_1", strides=strides)
        x = self._relu(x, f"{block}_1_relu")
        return self._conv_bn(x, channels, 3, f"{block}_2")

    def _conv_bn(self, x, channels, kernel, name, strides=1, padding="same"):
        name = f"{self.name}_{name}"
        x = keras.layers.Conv2D(
            scaled(channels, self.width),
            kernel,
            strides=strides,
            padding=padding,
            name=f"{name}_conv",
        )(x)
        return keras.layers.BatchNormalization(
            epsilon=1.001e-5,
            synchronized=self.synchronized,
            name=f"{name}_bn",
        )(x)

    def _zero_padding(self, x, cells, name):
        return keras.layers.ZeroPadding2D(cells, name=f"{self.name}_{name}")(x)

    def _relu(self, x, name):
        return keras.layers.ReLU(name=f"{self.name}_{name}")(x)
