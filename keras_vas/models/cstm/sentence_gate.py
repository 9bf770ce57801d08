"""The gate of the last CMAM as a function of the sentence alone."""

import keras
from keras import ops

from keras_vas.layers.sentence_mean import SentenceMean
from keras_vas.models.segmentation_model import WORD_VECTORS

STAGE = 5


def sentence_gate(model, encoder, words, noise):
    """The gate of CMAM 5 while every word of a sentence weighs the same.

        g = sigmoid(Linear(mean of the words' features)) - 1/2

    Args:
        model: `CSTM`, whose own layers are used.
        encoder: `"spatial"` or `"temporal"`.
        words: int, length of a row of tokens.
        noise: standard deviation of what is added to the word vectors in
            training.

    Returns:
        `keras.Model` from int32 tokens, `(batch, words)`, to g, `(batch,
        channels)`.

    Raises:
        ValueError: the model has no such encoder, or no CMAM in stage 5.
    """
    name = f"{encoder}_cmam_{STAGE}"
    if name not in {layer.name for layer in model.layers}:
        raise ValueError(
            f"the names of classes are learnt by the {encoder} CMAM of stage "
            f"{STAGE}, which this model lacks; give --cmam_stages with {STAGE}"
        )
    tokens = keras.Input((words,), dtype="int32")
    mask = ops.not_equal(tokens, 0)
    vectors = model.get_layer(WORD_VECTORS)(tokens)
    vectors = keras.layers.GaussianNoise(noise)(vectors)
    features = model.get_layer(f"{encoder}_text_gru")(vectors, mask=mask)
    features = ops.tanh(model.get_layer(f"{encoder}_text_norm")(features))
    linear = model.get_layer(name).gate_linear
    gate = ops.sigmoid(linear(SentenceMean()(features, mask))) - 0.5
    return keras.Model(tokens, gate)
