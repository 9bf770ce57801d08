"""Pixel values to the range that a backbone expects."""

import keras
from keras import ops

STRIDE = 32


@keras.saving.register_keras_serializable("keras_vas")
class FrameScaling(keras.layers.Layer):
    """Maps pixel values 0..255 to [-1, 1] and checks the frames' size.

    Call arguments:
        frames: `(..., height, width, 3)`, any dtype; height and width must
            be multiples of 32, the stride of the fifth stage.

    Output shape:
        That of `frames`.
    """

    def call(self, frames):
        for size in frames.shape[-3:-1]:
            if size is not None and (size % STRIDE or size == 0):
                raise ValueError(
                    f"height and width must be multiples of {STRIDE}. "
                    f"Received: frames of shape {tuple(frames.shape)}"
                )
        return ops.cast(frames, self.compute_dtype) / 127.5 - 1.0

    def compute_output_shape(self, frames_shape):
        return frames_shape
