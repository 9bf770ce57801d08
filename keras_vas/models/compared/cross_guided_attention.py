"""The two halves of ACGA's asymmetric cross-guided attention."""

import math

import keras
from keras import ops


def _linear(layer, units, name):
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        dtype=layer.dtype_policy,
        name=name,
    )


@keras.saving.register_keras_serializable("keras_vas")
class WordsForCells(keras.layers.Layer):
    """To every cell the words that matter for it.

    With v_p the feature of cell p and L (N x C_L) the words:

        q_p = W v_p + b,  a_p = softmax over n of q_p . L_n / sqrt(C_L)
        output_p = sum_n a_pn L_n

    Call arguments:
        visual: `(batch, height, width, channels)`.
        words: L, `(batch, words, text_channels)`.
        word_mask: bool `(batch, words)`, False at padding, which gets no
            weight; a sentence without words gives zeros.

    Output shape:
        `(batch, height, width, text_channels)`.

    Reference:
        Wang et al., ICCV 2019.
    """

    def build(self, visual_shape, words_shape):
        self.query = _linear(self, words_shape[-1], "query")
        self.query.build(visual_shape)
        self.built = True

    def call(self, visual, words, word_mask):
        scale = 1 / math.sqrt(words.shape[-1])
        match = ops.einsum("bhwc,bnc->bhwn", self.query(visual), words)
        present = ops.cast(word_mask, "float32")[:, None, None]
        match = ops.cast(match, "float32") * scale - 1e30 * (1 - present)
        weights = ops.softmax(match) * present
        weights = ops.cast(weights, words.dtype)
        return ops.einsum("bhwn,bnc->bhwc", weights, words)

    def multiply_adds(self, visual_shape, words_shape, literal):
        """Multiply-adds of one call; see `models.summary.count`."""
        cells = math.prod(visual_shape[1:-1])
        match = words_shape[1] * words_shape[-1]
        return cells * (math.prod(self.query.kernel.shape) + 2 * match)

    def compute_output_shape(
        self, visual_shape, words_shape, word_mask_shape=None
    ):
        return (*visual_shape[:-1], words_shape[-1])


@keras.saving.register_keras_serializable("keras_vas")
class CellsForCells(keras.layers.Layer):
    """To every cell the cells that matter for it, as a sentence guides.

    With v_p the D numbers of cell p, l the sentence, K, Q, V linear maps:

        t = W l + b
        s_pr = softmax over r of (K v_p * t) . (Q v_r * t) / sqrt(D)
        output_p = sum_r s_pr V v_r

    Call arguments:
        visual: `(batch, height, width, D)`.
        sentence: l, `(batch, text_channels)`.

    Output shape:
        That of `visual`.

    Reference:
        Wang et al., ICCV 2019.
    """

    def build(self, visual_shape, sentence_shape):
        channels = visual_shape[-1]
        for name in ("key", "query", "value"):
            setattr(self, name, _linear(self, channels, name))
            getattr(self, name).build(visual_shape)
        self.guide = _linear(self, channels, "guide")
        self.guide.build(sentence_shape)
        self.built = True

    def call(self, visual, sentence):
        shape, channels = ops.shape(visual), visual.shape[-1]
        cells = ops.reshape(visual, (shape[0], shape[1] * shape[2], channels))
        guide = self.guide(sentence)[:, None]
        keys, queries = self.key(cells) * guide, self.query(cells) * guide
        match = ops.einsum("bpc,brc->bpr", keys, queries)
        match = ops.cast(match, "float32") / math.sqrt(channels)
        weights = ops.cast(ops.softmax(match), cells.dtype)
        result = ops.einsum("bpr,brc->bpc", weights, self.value(cells))
        return ops.reshape(result, shape)

    def multiply_adds(self, visual_shape, sentence_shape, literal):
        """Multiply-adds of one call; see `models.summary.count`."""
        cells, channels = math.prod(visual_shape[1:-1]), visual_shape[-1]
        linear = 3 * cells * channels**2 + sentence_shape[-1] * channels
        return linear + 2 * cells**2 * channels

    def compute_output_shape(self, visual_shape, sentence_shape):
        return visual_shape
