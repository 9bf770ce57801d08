"""VGG-16 with its fully connected layers as convolutions, in five stages."""

import keras

from keras_vas.backbones.backbone import Backbone, scaled
from keras_vas.backbones.resnet50 import ResNet50


class VGG16(Backbone):
    """VGG-16, stage by stage, for `(batch, height, width, 3)` frames.

    | stage | layers                              | stride | channels |
    |-------|-------------------------------------|--------|----------|
    | 1     | block1, pool                        | 2      | 64       |
    | 2     | block2, pool                        | 4      | 128      |
    | 3     | block3, pool                        | 8      | 256      |
    | 4     | block4, pool                        | 16     | 512      |
    | 5     | block5, pool, fc1, fc2, predictions | 32     | 1000     |

    Layers are named as in `keras.applications.VGG16`, behind the prefix. The
    fully connected layers (fc6 to fc8) see a window of 7x7 cells around each
    cell, padded SAME; the last has the 1000 classes of ImageNet, without
    softmax or ReLU. There is no batch normalization and no dropout.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for
        Large-Scale Image Recognition", ICLR 2015; as a fully convolutional
        network, Hu et al., ECCV 2016.
    """

    rank = 2
    channels = (64, 128, 256, 512, 1000)
    preprocess = ResNet50.preprocess

    def _stage_1(self, x):
        return self._block(x, 1, 2, 64)

    def _stage_2(self, x):
        return self._block(x, 2, 2, 128)

    def _stage_3(self, x):
        return self._block(x, 3, 3, 256)

    def _stage_4(self, x):
        return self._block(x, 4, 3, 512)

    def _stage_5(self, x):
        x = self._block(x, 5, 3, 512)
        x = self._plain(x, 4096, 7, "fc1")
        x = self._plain(x, 4096, 1, "fc2")
        return self._plain(x, 1000, 1, "predictions", activation=None)

    def _block(self, x, number, count, channels):
        for i in range(1, count + 1):
            x = self._plain(x, channels, 3, f"block{number}_conv{i}")
        return keras.layers.MaxPooling2D(
            2, name=f"{self.name}_block{number}_pool"
        )(x)

    def _plain(self, x, channels, kernel, name, activation="relu"):
        return keras.layers.Conv2D(
            scaled(channels, self.width),
            kernel,
            padding="same",
            activation=activation,
            name=f"{self.name}_{name}",
        )(x)
