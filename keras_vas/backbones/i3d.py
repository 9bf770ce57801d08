"""I3D, the inflated Inception V1, in five stages."""

import keras

from keras_vas.backbones.backbone import Backbone

# Channels of the branches: 1x1x1; 1x1x1 then 3x3x3; likewise; pool then 1x1x1.
MIXED = {
    "Mixed_3b": (64, (96, 128), (16, 32), 32),
    "Mixed_3c": (128, (128, 192), (32, 96), 64),
    "Mixed_4b": (192, (96, 208), (16, 48), 64),
    "Mixed_4c": (160, (112, 224), (24, 64), 64),
    "Mixed_4d": (128, (128, 256), (24, 64), 64),
    "Mixed_4e": (112, (144, 288), (32, 64), 64),
    "Mixed_4f": (256, (160, 320), (32, 128), 128),
    "Mixed_5b": (256, (160, 320), (32, 128), 128),
    "Mixed_5c": (384, (192, 384), (48, 128), 128),
}


class I3D(Backbone):
    """I3D, stage by stage, for `(batch, time, height, width, 3)` clips.

    | stage | layers                    | strides t, h, w | channels |
    |-------|---------------------------|-----------------|----------|
    | 1     | Conv3d_1a_7x7             | 2, 2, 2         | 64       |
    | 2     | pool, Conv3d_2b, 2c       | 1, 2, 2         | 192      |
    | 3     | pool, Mixed_3b, 3c        | 1, 2, 2         | 480      |
    | 4     | pool, Mixed_4b to 4f      | 2, 2, 2         | 832      |
    | 5     | pool, Mixed_5b, 5c        | 2, 2, 2         | 1024     |

    Eight frames become 4, 4, 4, 2 and 1. All padding is SAME. Layers are
    named `{name}_{layer}_conv` and `{name}_{layer}_bn` with the layer names
    of the authors' Sonnet module, `Mixed_3b_Branch_1_Conv3d_0b_3x3`.

    Reference:
        Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017.
    """

    rank = 3
    channels = (64, 192, 480, 832, 1024)

    def _stage_1(self, x):
        return self._conv(x, 64, 7, "Conv3d_1a_7x7", strides=2)

    def _stage_2(self, x):
        x = self._max_pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_2a_3x3")
        x = self._conv(x, 64, 1, "Conv3d_2b_1x1")
        return self._conv(x, 192, 3, "Conv3d_2c_3x3")

    def _stage_3(self, x):
        x = self._max_pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_3a_3x3")
        return self._mixed(x, "Mixed_3b", "Mixed_3c")

    def _stage_4(self, x):
        x = self._max_pool(x, 3, 2, "MaxPool3d_4a_3x3")
        return self._mixed(
            x, "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"
        )

    def _stage_5(self, x):
        x = self._max_pool(x, 2, 2, "MaxPool3d_5a_2x2")
        return self._mixed(x, "Mixed_5b", "Mixed_5c")

    def _mixed(self, x, *blocks):
        for block in blocks:
            first, second, third, pooled = MIXED[block]
            branch_1 = self._conv(
                x, second[0], 1, f"{block}_Branch_1_Conv3d_0a_1x1"
            )
            branch_2 = self._conv(
                x, third[0], 1, f"{block}_Branch_2_Conv3d_0a_1x1"
            )
            branch_3 = self._max_pool(
                x, 3, 1, f"{block}_Branch_3_MaxPool3d_0a_3x3"
            )
            x = self._concatenate(
                block,
                self._conv(x, first, 1, f"{block}_Branch_0_Conv3d_0a_1x1"),
                self._conv(
                    branch_1, second[1], 3, f"{block}_Branch_1_Conv3d_0b_3x3"
                ),
                self._conv(
                    branch_2, third[1], 3, f"{block}_Branch_2_Conv3d_0b_3x3"
                ),
                self._conv(
                    branch_3, pooled, 1, f"{block}_Branch_3_Conv3d_0b_1x1"
                ),
            )
        return x

    def _max_pool(self, x, size, strides, name):
        return keras.layers.MaxPooling3D(
            size, strides=strides, padding="same", name=f"{self.name}_{name}"
        )(x)
