"""The last word of a sentence."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vas")
class LastWord(keras.layers.Layer):
    """Sentence feature l = output of the text encoder at the last word.

    A GRU has then read the whole sentence: the alternative to the mean of
    section 3.3 that docs/decisions.md measures.

    Call arguments:
        words: `(batch, words, channels)`.
        word_mask: bool `(batch, words)`, False at padding, which is on the
            right. A sentence without any word gives zeros.

    Output shape:
        `(batch, channels)`.
    """

    def call(self, words, word_mask):
        count = ops.sum(ops.cast(word_mask, "int32"), axis=-1, keepdims=True)
        position = ops.arange(words.shape[1] or ops.shape(words)[1])
        is_last = ops.cast(position[None] == count - 1, words.dtype)
        return ops.einsum("bn,bnc->bc", is_last, words)

    def compute_output_shape(self, words_shape):
        return (words_shape[0], words_shape[-1])
