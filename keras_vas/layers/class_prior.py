"""Where a picture looks like what a sentence's noun means, untrained."""

import keras
from keras import ops

CHANNELS = 2
SKIP, NOUN, STOP = range(3)


@keras.saving.register_keras_serializable("keras_vas")
class ClassPrior(keras.layers.Layer):
    """Cosine of a feature map with the direction of a sentence's noun.

    A word w has a role, and a direction d(w) in the space of the features,

        d(w) = meanings[w] directions,

    such as the weights of a classifier for the classes that w names. The noun
    n of a sentence is the last `NOUN` before the first `STOP` behind a `NOUN`:
    "a small race car drifting on a track" is about a car. With the mean over
    positions taken from the features,

        c_j = max(0, cos(v_j - mean(v), d(n))),  output_j = (c_j / max(c), c_j)

    and zeros for a sentence without a noun. Nothing of it is trained.

    Args:
        vocabulary_size: int, how many word ids there are.
        rank: int, length of a word's `meanings`.

    Call arguments:
        visual: `(batch, height, width, channels)`.
        tokens: int `(batch, words)`, word ids.

    Output shape:
        `(batch, height, width, 2)`, values from 0 to 1.
    """

    def __init__(self, vocabulary_size: int, rank: int, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.rank = rank
        self.trainable = False

    def build(self, visual_shape, tokens_shape):
        shapes = {
            "roles": (self.vocabulary_size,),
            "meanings": (self.vocabulary_size, self.rank),
            "directions": (self.rank, visual_shape[-1]),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(
                shape=shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
                dtype="float32",
                name=name,
            )
            setattr(self, name, weight)
        self.built = True

    def call(self, visual, tokens):
        direction = self._direction(tokens)[:, None, None, :]
        visual = ops.cast(visual, "float32")
        visual = visual - ops.mean(visual, axis=(1, 2), keepdims=True)
        cosine = ops.sum(_unit(visual) * _unit(direction), -1, keepdims=True)
        cosine = ops.relu(cosine)
        largest = ops.max(cosine, axis=(1, 2), keepdims=True)
        relative = cosine / ops.maximum(largest, 1e-6)
        both = ops.concatenate([relative, cosine], axis=-1)
        return ops.cast(both, self.compute_dtype)

    def _direction(self, tokens):
        """d(n), `(batch, channels)`."""
        roles = ops.take(self.roles, tokens, axis=0)
        noun = ops.cast(ops.equal(roles, NOUN), "int32")
        behind = ops.cumsum(noun, axis=1) > 0
        stop = ops.logical_and(ops.equal(roles, STOP), behind)
        ended = ops.cumsum(ops.cast(stop, "int32"), axis=1) > 0
        noun = ops.where(ended, 0, noun)
        later = ops.sum(noun, axis=1, keepdims=True) - ops.cumsum(noun, axis=1)
        is_last = ops.cast((noun > 0) & ops.equal(later, 0), "float32")
        meanings = ops.take(self.meanings, tokens, axis=0)
        return ops.matmul(
            ops.einsum("bn,bnr->br", is_last, meanings), self.directions
        )

    def compute_output_shape(self, visual_shape, tokens_shape):
        return (*visual_shape[:-1], CHANNELS)

    def compute_output_spec(self, visual, tokens):
        shape = self.compute_output_shape(visual.shape, tokens.shape)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "rank": self.rank,
        }


def _unit(x):
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square, 1e-12))
