"""Words to linguistic features."""

import keras
from keras import ops


def text_encoder(embedded, word_mask, channels, name):
    """Adds a GRU text encoder: L = tanh(LayerNorm(GRU(word vectors))).

    Each visual encoder has one of its own ("two GRUs", section 4.2).

    Args:
        embedded: word vectors, `(batch, words, embedding_dim)`.
        word_mask: bool `(batch, words)`, False at padding.
        channels: C_L.
        name: prefix of all layer names.

    Returns:
        L, `(batch, words, channels)`. Padding comes last in a sentence and
        the GRU runs forward, so it changes no word's feature.
    """
    # A cell of our own naming, so that variable paths are the same in every
    # process; and no cuDNN kernel, which a CPU server could not run.
    words = keras.layers.RNN(
        keras.layers.GRUCell(channels, name="cell"),
        return_sequences=True,
        name=f"{name}_gru",
    )(embedded, mask=word_mask)
    words = keras.layers.LayerNormalization(name=f"{name}_norm")(words)
    return ops.tanh(words)
