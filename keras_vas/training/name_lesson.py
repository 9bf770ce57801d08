"""A lesson in words: which channels the name of a class means.

A pretrained backbone comes with a head that tells hundreds of classes apart,
and the classes have names. With W_c the head's weights for class c (one for
each channel of stage 5, less their mean over classes and channels), s a
sentence about a name and P(c) how much the name means class c, the gate that s
opens should point along W_c:

    g(s)  = sigmoid(Linear(mean of the words' features)) - 1/2
    loss  = cross-entropy(P, softmax_c(6 g(s) . W_c / |W_c|)) + 0.2 mean(g(s)^2)

g is the gate of CMAM 5 while every word weighs the same. Sentences about a
few dozen actors cannot say what a swan looks like; a head that knows swans
and word vectors that have "swan" near "goose" can. To tie word vectors to the
weights of a classifier is the idea of Frome et al., "DeViSE", NIPS 2013.

The lesson is given before the training (`teach`), and may go on in each of its
steps, so that it is not forgotten (`loss_of_step`).
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vas.data.text.vocabulary import MAX_WORDS
from keras_vas.training.taught_names import padded

_STEPS = 900
_BATCH = 64
_BATCH_OF_STEP = 32
_SHARPNESS = 6.0
_RESTRAINT = 0.2
_NOISE = 0.15  # standard deviation added to the word vectors


class NameLesson:
    """A lesson for one text encoder and the gate of stage 5.

    Args:
        model: `SegmentationModel` with a gate and its word vectors in place.
        encoder: `"spatial"` or `"temporal"`.
        directions: float array `(channels, classes)` of length 1, what sets
            each class apart; see `directions`.
        names: `taught_names.TaughtNames`.
        sentences: `taught_names.Sentences`, about these names.
        seed: int.
    """

    def __init__(self, model, encoder, directions, names, sentences, seed):
        self._gate = model.sentence_gate(encoder, MAX_WORDS, _NOISE)
        self._directions = directions.astype(np.float32)
        self._names = names
        self._seed = seed
        random = np.random.default_rng(seed)
        drawn = [sentences.draw(random) for _ in range(_STEPS * _BATCH)]
        self._tokens = np.stack([tokens for tokens, _ in drawn])
        self._rows = np.array([row for _, row in drawn], np.int32)

    def teach(self):
        """Gives the lesson before a training.

        Returns:
            The share of the names that alone open the gate most like the
            class that they mean most.
        """
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, _STEPS, warmup_target=2e-3, warmup_steps=_STEPS // 9
        )
        self._gate.compile(
            keras.optimizers.AdamW(rate, weight_decay=0.02, clipnorm=1.0),
            lambda meant, gate: self.loss(
                gate, *ops.split(ops.cast(meant, "float32"), 2, axis=-1)
            ),
        )
        names = self._names
        meant = np.concatenate([names.classes, names.weights], axis=1)
        self._gate.fit(
            self._tokens,
            meant[self._rows],
            batch_size=_BATCH,
            shuffle=False,
            verbose=0,
        )
        bare = np.stack([padded(tokens) for tokens in names.tokens])
        gates = self._gate.predict(bare, batch_size=_BATCH, verbose=0)
        found = (gates.astype(np.float32) @ self._directions).argmax(axis=-1)
        rows = np.arange(len(found))
        wanted = names.classes[rows, names.weights.argmax(axis=1)]
        return float(np.mean(found == wanted))

    def loss(self, gate, classes, weights):
        """The loss of each sentence.

        Args:
            gate: `(batch, channels)`.
            classes: numbers of the classes that a sentence may mean,
                `(batch, most)`.
            weights: float32, how much it means each, of the same shape.

        Returns:
            float32 `(batch,)`.
        """
        gate = ops.cast(gate, "float32")
        logits = _SHARPNESS * ops.matmul(gate, self._directions)
        chosen = ops.take_along_axis(
            logits, ops.cast(classes, "int32"), axis=-1
        )
        return (
            ops.logsumexp(logits, axis=-1)
            - ops.sum(weights * chosen, axis=-1)
            + _RESTRAINT * ops.mean(ops.square(gate), axis=-1)
        )

    def loss_of_step(self, step):
        """The mean loss of a few sentences that depend on the step alone.

        Args:
            step: int64 scalar tensor.

        Returns:
            float32 scalar.
        """
        chosen = tf.random.stateless_uniform(
            [_BATCH_OF_STEP],
            tf.stack([tf.constant(self._seed, tf.int64), step]),
            0,
            len(self._rows),
            tf.int32,
        )
        rows = tf.gather(self._rows, chosen)
        gate = self._gate(tf.gather(self._tokens, chosen), training=False)
        return tf.reduce_mean(
            self.loss(
                gate,
                tf.gather(self._names.classes, rows),
                tf.gather(self._names.weights, rows),
            )
        )


def directions(kernel):
    """What sets each class apart.

    Args:
        kernel: the head's weights, `(channels, classes)`.

    Returns:
        float array of the same shape, of length 1 for each class.
    """
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    return unit(centred - centred.mean(axis=0, keepdims=True))


def unit(vectors):
    """Columns of length 1."""
    return vectors / np.linalg.norm(vectors, axis=0)
