"""The attention map of each word: equation 3 of CMAM, made visible."""

import numpy as np
import tensorflow as tf

from keras_vas.data import transforms
from keras_vas.data.text.vocabulary import MAX_WORDS, tokenize
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.runs import checkpoint

_PREFIX = "attention_"


def sentence_words(text):
    """The words of a sentence that a model reads, a list of str."""
    words = [word.decode() for word in tokenize(text).numpy().tolist()]
    return words[:MAX_WORDS]


class WordAttention:
    """A copy of a model that also gives the maps of its CMAMs.

    Args:
        model: `SegmentationModel`.
        vocabulary: its `Vocabulary`.

    Raises:
        UserError: the model has no such maps.
    """

    def __init__(self, model, vocabulary):
        self._vocabulary = vocabulary
        config = model.get_config()
        if "attention_maps" not in config:
            raise UserError(f"{model.name} has no attention maps of words")
        self._model = type(model).from_config(
            {**config, "attention_maps": True}
        )
        checkpoint.assign(
            variables.model_variables(self._model),
            checkpoint.read(variables.model_variables(model)),
            model.name,
        )

    def __call__(self, clip, query, source_size):
        """The maps of the words of one sentence at the target frame.

        Args:
            clip: uint8 `(time, height, width, 3)`, letterboxed.
            query: str.
            source_size: `(height, width)` of the video in pixels.

        Returns:
            Dict from `(encoder, stage)` to float32 `(words, height, width)`,
            the size being that of the frame in the clip without its padding.
        """
        inputs = {
            "frames": tf.constant(clip[None]),
            "tokens": self._vocabulary.encode([query]),
        }
        outputs = self._model(inputs, training=False)
        words = len(sentence_words(query))
        size = clip.shape[1:3]
        content = [int(x) for x in transforms.content_size(*source_size, *size)]
        maps = {}
        for name, attended in outputs.items():
            if not name.startswith(_PREFIX):
                continue
            encoder, stage = name.removeprefix(_PREFIX).rsplit("_", 1)
            attended = attended[0, :words]
            if len(attended.shape) == 4:
                attended = attended[:, attended.shape[1] // 2]
            full = tf.image.resize(attended[..., None], size)
            inner = transforms.unletterbox(full, *content)
            maps[encoder, int(stage)] = np.asarray(inner[..., 0])
        return maps
