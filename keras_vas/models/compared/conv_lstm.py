"""An LSTM over maps, for frames of any size."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class ConvLSTM(keras.layers.Layer):
    """What an LSTM of convolutions remembers after the last map.

    With [x; h] the concatenation and h = c = 0 at first, for each map x:

        i, f, o, g = Conv3x3([x; h])
        c = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c)

    `keras.layers.ConvLSTM2D` needs to know height and width.

    Call arguments:
        x: `(batch, time, height, width, channels)`, time known.

    Output shape:
        h, `(batch, height, width, channels)`.

    Reference:
        Shi et al., "Convolutional LSTM Network", 2015, without peepholes.
    """

    def build(self, x_shape):
        channels = x_shape[-1]
        self.gates = keras.layers.Conv2D(
            4 * channels,
            3,
            padding="same",
            dtype=self.dtype_policy,
            name="gates",
        )
        self.gates.build((*x_shape[:1], *x_shape[2:4], 2 * channels))
        self.built = True

    def call(self, x):
        hidden = cell = ops.zeros_like(x[:, 0])
        for time in range(x.shape[1]):
            both = ops.concatenate([x[:, time], hidden], axis=-1)
            i, f, o, g = ops.split(self.gates(both), 4, axis=-1)
            cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
            hidden = ops.sigmoid(o) * ops.tanh(cell)
        return hidden

    def multiply_adds(self, x_shape, literal):
        """Multiply-adds of one call; see `models.summary.count`."""
        return math.prod(x_shape[1:4]) * math.prod(self.gates.kernel.shape)

    def compute_output_shape(self, x_shape):
        return (x_shape[0], *x_shape[2:])
