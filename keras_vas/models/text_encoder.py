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
    # cuDNN kernels in an exported graph could not run on a CPU server.
    words = keras.layers.GRU(
        channels,
        return_sequences=True,
        use_cudnn=False,
        name=f"{name}_gru",
    )(embedded, mask=word_mask)
    words = keras.layers.LayerNormalization(name=f"{name}_norm")(words)
    return ops.tanh(words)
