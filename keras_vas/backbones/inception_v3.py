"""Inception V3 in five stages, with SAME padding everywhere."""

import functools

import keras

from keras_vas.backbones.backbone import Backbone


class InceptionV3(Backbone):
    """Inception V3, stage by stage, for `(batch, height, width, 3)` frames.

    | stage | layers                 | stride | channels |
    |-------|------------------------|--------|----------|
    | 1     | Conv2d_1a to Conv2d_2b | 2      | 64       |
    | 2     | pool, 3b, 4a           | 4      | 192      |
    | 3     | pool, Mixed_5b to 5d   | 8      | 288      |
    | 4     | Mixed_6a to 6e         | 16     | 768      |
    | 5     | Mixed_7a to 7c         | 32     | 2048     |

    Layers are named `{name}_{layer}_conv` and `{name}_{layer}_bn` with the
    layer names of TF-Slim, such as `Mixed_5b_Branch_1_Conv2d_0b_5x5`.
    Padding is SAME in every layer (the published network is VALID in its
    stem and at its reductions), so that stage i is exactly 2^i times smaller
    than the frames; the weights are the same.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", CVPR 2016.
    """

    rank = 2
    channels = (64, 192, 288, 768, 2048)

    def _stage_1(self, x):
        x = self._conv(x, 32, 3, "Conv2d_1a_3x3", strides=2)
        x = self._conv(x, 32, 3, "Conv2d_2a_3x3")
        return self._conv(x, 64, 3, "Conv2d_2b_3x3")

    def _stage_2(self, x):
        x = self._max_pool(x, "MaxPool_3a_3x3")
        x = self._conv(x, 80, 1, "Conv2d_3b_1x1")
        return self._conv(x, 192, 3, "Conv2d_4a_3x3")

    def _stage_3(self, x):
        x = self._max_pool(x, "MaxPool_5a_3x3")
        x = self._mixed_5(x, "Mixed_5b", pool_channels=32)
        x = self._mixed_5(x, "Mixed_5c", pool_channels=64)
        return self._mixed_5(x, "Mixed_5d", pool_channels=64)

    def _stage_4(self, x):
        conv = functools.partial(self._branch_conv, "Mixed_6a")
        branch_1 = conv(x, 64, 1, "Branch_1_Conv2d_0a_1x1")
        branch_1 = conv(branch_1, 96, 3, "Branch_1_Conv2d_0b_3x3")
        x = self._concatenate(
            "Mixed_6a",
            conv(x, 384, 3, "Branch_0_Conv2d_1a_3x3", strides=2),
            conv(branch_1, 96, 3, "Branch_1_Conv2d_1a_3x3", strides=2),
            self._max_pool(x, "Mixed_6a_Branch_2_MaxPool_1a_3x3"),
        )
        x = self._mixed_6(x, "Mixed_6b", inner_channels=128)
        x = self._mixed_6(x, "Mixed_6c", inner_channels=160)
        x = self._mixed_6(x, "Mixed_6d", inner_channels=160)
        return self._mixed_6(x, "Mixed_6e", inner_channels=192)

    def _stage_5(self, x):
        conv = functools.partial(self._branch_conv, "Mixed_7a")
        branch_0 = conv(x, 192, 1, "Branch_0_Conv2d_0a_1x1")
        branch_1 = conv(x, 192, 1, "Branch_1_Conv2d_0a_1x1")
        branch_1 = conv(branch_1, 192, (1, 7), "Branch_1_Conv2d_0b_1x7")
        branch_1 = conv(branch_1, 192, (7, 1), "Branch_1_Conv2d_0c_7x1")
        x = self._concatenate(
            "Mixed_7a",
            conv(branch_0, 320, 3, "Branch_0_Conv2d_1a_3x3", strides=2),
            conv(branch_1, 192, 3, "Branch_1_Conv2d_1a_3x3", strides=2),
            self._max_pool(x, "Mixed_7a_Branch_2_MaxPool_1a_3x3"),
        )
        x = self._mixed_7(x, "Mixed_7b")
        return self._mixed_7(x, "Mixed_7c")

    def _mixed_5(self, x, block, pool_channels):
        conv = functools.partial(self._branch_conv, block)
        branch_1 = conv(x, 48, 1, "Branch_1_Conv2d_0a_1x1")
        branch_2 = conv(x, 64, 1, "Branch_2_Conv2d_0a_1x1")
        branch_2 = conv(branch_2, 96, 3, "Branch_2_Conv2d_0b_3x3")
        pooled = self._average_pool(x, f"{block}_Branch_3_AvgPool_0a_3x3")
        return self._concatenate(
            block,
            conv(x, 64, 1, "Branch_0_Conv2d_0a_1x1"),
            conv(branch_1, 64, 5, "Branch_1_Conv2d_0b_5x5"),
            conv(branch_2, 96, 3, "Branch_2_Conv2d_0c_3x3"),
            conv(pooled, pool_channels, 1, "Branch_3_Conv2d_0b_1x1"),
        )

    def _mixed_6(self, x, block, inner_channels):
        conv = functools.partial(self._branch_conv, block)
        branch_1 = conv(x, inner_channels, 1, "Branch_1_Conv2d_0a_1x1")
        branch_2 = conv(x, inner_channels, 1, "Branch_2_Conv2d_0a_1x1")
        inner = (
            (branch_1, (1, 7), "Branch_1_Conv2d_0b_1x7"),
            (branch_2, (7, 1), "Branch_2_Conv2d_0b_7x1"),
        )
        branch_1, branch_2 = (
            conv(y, inner_channels, kernel, name) for y, kernel, name in inner
        )
        branch_2 = conv(
            branch_2, inner_channels, (1, 7), "Branch_2_Conv2d_0c_1x7"
        )
        branch_2 = conv(
            branch_2, inner_channels, (7, 1), "Branch_2_Conv2d_0d_7x1"
        )
        pooled = self._average_pool(x, f"{block}_Branch_3_AvgPool_0a_3x3")
        return self._concatenate(
            block,
            conv(x, 192, 1, "Branch_0_Conv2d_0a_1x1"),
            conv(branch_1, 192, (7, 1), "Branch_1_Conv2d_0c_7x1"),
            conv(branch_2, 192, (1, 7), "Branch_2_Conv2d_0e_1x7"),
            conv(pooled, 192, 1, "Branch_3_Conv2d_0b_1x1"),
        )

    def _mixed_7(self, x, block):
        conv = functools.partial(self._branch_conv, block)
        branch_1 = conv(x, 384, 1, "Branch_1_Conv2d_0a_1x1")
        branch_2 = conv(x, 448, 1, "Branch_2_Conv2d_0a_1x1")
        branch_2 = conv(branch_2, 384, 3, "Branch_2_Conv2d_0b_3x3")
        pooled = self._average_pool(x, f"{block}_Branch_3_AvgPool_0a_3x3")
        return self._concatenate(
            block,
            conv(x, 320, 1, "Branch_0_Conv2d_0a_1x1"),
            conv(branch_1, 384, (1, 3), "Branch_1_Conv2d_0b_1x3"),
            conv(branch_1, 384, (3, 1), "Branch_1_Conv2d_0c_3x1"),
            conv(branch_2, 384, (1, 3), "Branch_2_Conv2d_0c_1x3"),
            conv(branch_2, 384, (3, 1), "Branch_2_Conv2d_0d_3x1"),
            conv(pooled, 192, 1, "Branch_3_Conv2d_0b_1x1"),
        )

    def _branch_conv(self, block, x, channels, kernel, name, strides=1):
        return self._conv(x, channels, kernel, f"{block}_{name}", strides)

    def _max_pool(self, x, name):
        return keras.layers.MaxPooling2D(
            3, strides=2, padding="same", name=f"{self.name}_{name}"
        )(x)

    def _average_pool(self, x, name):
        return keras.layers.AveragePooling2D(
            3, strides=1, padding="same", name=f"{self.name}_{name}"
        )(x)
