"""The part of a convolution that sees the sentence at every position."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class SentenceConvolution(keras.layers.Layer):
    """Adds what a convolution makes of a sentence beside every feature.

    A convolution is linear in its input's channels, so that with the
    sentence l concatenated to the feature V at every position

        W * [V; l] = W_V * V + W_l * l

    and W_l * l is, for each of the k x k taps that lie inside the map, the
    product of the tap with l: all positions share them but those at the
    border. What the sentence is not needed for then stays out of its way, and
    the map of sentences is never built.

    Args:
        kernel_size: int, odd: k, with stride 1 and padding by zeros ("same").

    Call arguments:
        convolved: W_V * V, `(batch, height, width, channels)`.
        sentence: l, `(batch, text_channels)`.

    Output shape:
        That of `convolved`.

    Reference:
        Rows 1 to 4 of table 3a: the sentence is concatenated in the decoder.
    """

    def __init__(self, kernel_size: int = 3, **kwargs):
        super().__init__(**kwargs)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd. Received: kernel_size={kernel_size}"
            )
        self.kernel_size = kernel_size

    def build(self, convolved_shape, sentence_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, sentence_shape[-1], convolved_shape[-1]),
            initializer="glorot_uniform",
        )

    def call(self, convolved, sentence):
        size = self.kernel_size
        each_tap = np.eye(size * size).reshape(size, size, 1, size * size)
        inside = ops.conv(
            ops.ones_like(convolved[:1, :, :, :1]),
            ops.cast(each_tap, convolved.dtype),
            padding="same",
        )
        taps = ops.einsum("bl,ijlc->bijc", sentence, self.kernel)
        taps = ops.reshape(taps, (-1, size * size, convolved.shape[-1]))
        return convolved + ops.einsum("hwt,btc->bhwc", inside[0], taps)

    def compute_output_shape(self, convolved_shape, sentence_shape):
        return convolved_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}
