"""Language-guided feature selection (section 3.3 of the paper)."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class LGFS(keras.layers.Layer):
    """Mixes a spatial and a temporal feature, channel by channel.

        g_S = Linear(l),  g_T = Linear(l)                     (7)
        (g~_S, g~_T) = softmax over each pair (g_S, g_T)
        V_F = V_S * g~_S + V_T * g~_T                         (8)

    The softmax of a pair is `g~_S = sigmoid(g_S - g_T)`, `g~_T = 1 - g~_S`,
    so that equation 8 is `V_T + (V_S - V_T) * g~_S`.

    Call arguments:
        spatial: V_S, `(batch, height, width, channels)`.
        temporal: V_T at the target frame, of the same shape.
        sentence: l, `(batch, text_channels)`.

    Output shape:
        That of `spatial`.

    Reference:
        Hui et al., CVPR 2021, equations 7 and 8.
    """

    def build(self, spatial_shape, temporal_shape, sentence_shape):
        if spatial_shape[-1] != temporal_shape[-1]:
            raise ValueError(
                "spatial and temporal must have the same channels. Received: "
                f"spatial_shape={spatial_shape}, "
                f"temporal_shape={temporal_shape}"
            )
        self.spatial_linear = keras.layers.Dense(
            spatial_shape[-1], dtype=self.dtype_policy, name="spatial_linear"
        )
        self.temporal_linear = keras.layers.Dense(
            spatial_shape[-1], dtype=self.dtype_policy, name="temporal_linear"
        )
        self.spatial_linear.build(sentence_shape)
        self.temporal_linear.build(sentence_shape)
        self.built = True

    def call(self, spatial, temporal, sentence):
        selection = ops.sigmoid(
            self.spatial_linear(sentence) - self.temporal_linear(sentence)
        )
        return temporal + (spatial - temporal) * selection[:, None, None, :]

    def multiply_adds(self, spatial_shape, *_):
        """Multiply-adds of one call; see `models.summary.count`."""
        return 2 * math.prod(self.spatial_linear.kernel.shape)

    def compute_output_shape(
        self, spatial_shape, temporal_shape, sentence_shape
    ):
        return spatial_shape
