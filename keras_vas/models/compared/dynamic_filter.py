"""A filter of one cell that a sentence makes."""

import math
from typing import Literal

import keras
from keras import ops

ACTIVATIONS = ("tanh", "sigmoid")


@keras.saving.register_keras_serializable("keras_vas")
class DynamicFilter(keras.layers.Layer):
    """The dot product of every cell with a filter made of the sentence.

        f = activation(W l + b),  output_p = f . v_p

    Args:
        activation: `"tanh"` (Gavrilyuk et al.) or `"sigmoid"` (Li et al.).

    Call arguments:
        visual: v, `(batch, height, width, channels)`.
        sentence: l, `(batch, text_channels)`.

    Output shape:
        `(batch, height, width, 1)`.

    Reference:
        Li et al., CVPR 2017; Gavrilyuk et al., CVPR 2018.
    """

    def __init__(self, activation: Literal[*ACTIVATIONS] = "tanh", **kwargs):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {ACTIVATIONS}. "
                f"Received: activation={activation!r}"
            )
        self.activation = activation

    def build(self, visual_shape, sentence_shape):
        self.linear = keras.layers.Dense(
            visual_shape[-1],
            activation=self.activation,
            dtype=self.dtype_policy,
            name="linear",
        )
        self.linear.build(sentence_shape)
        self.built = True

    def call(self, visual, sentence):
        response = ops.einsum("bhwc,bc->bhw", visual, self.linear(sentence))
        return response[..., None]

    def multiply_adds(self, visual_shape, sentence_shape, literal):
        """Multiply-adds of one call; see `models.summary.count`."""
        return math.prod(self.linear.kernel.shape) + math.prod(visual_shape[1:])

    def compute_output_shape(self, visual_shape, sentence_shape):
        return (*visual_shape[:-1], 1)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}
