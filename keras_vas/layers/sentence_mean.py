"""The mean of a sentence's words."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class SentenceMean(keras.layers.Layer):
    """Sentence feature l = mean of the words that are there (section 3.3).

    Call arguments:
        words: `(batch, words, channels)`.
        word_mask: bool `(batch, words)`, False at padding. A sentence
            without any word gives zeros.

    Output shape:
        `(batch, channels)`.
    """

    def call(self, words, word_mask):
        present = ops.cast(word_mask, words.dtype)
        total = ops.einsum("bn,bnc->bc", present, words)
        count = ops.sum(present, axis=-1, keepdims=True)
        return total / ops.maximum(count, 1.0)

    def compute_output_shape(self, words_shape):
        return (words_shape[0], words_shape[-1])
