"""Another model than CSTM: `python one_layer.py PROGRAM FLAGS ...`."""

import runpy
import sys

import keras

from keras_vas.models import registry
from keras_vas.models.segmentation_model import SegmentationModel


@keras.saving.register_keras_serializable("keras_vas")
class OneLayer(SegmentationModel):
    """The target frame, through one convolution, times a mean word vector.

    Args:
        vocabulary_size: how many word ids there are.
        num_frames: frames in a clip.
        channels: channels of the convolution.
    """

    def __init__(self, vocabulary_size=9, num_frames=8, channels=4, name="one"):
        arguments = dict(locals())
        frames = keras.Input((num_frames, None, None, 3), name="frames")
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        words = keras.layers.Embedding(
            vocabulary_size, channels, name="word_embedding"
        )(tokens)
        looks = keras.layers.Conv2D(channels, 3, padding="same", name="looks")(
            keras.layers.Rescaling(1 / 255)(frames[:, num_frames // 2])
        )
        logits = keras.ops.sum(
            looks * keras.ops.mean(words, 1)[:, None, None], -1, keepdims=True
        )
        super().__init__(
            arguments,
            {"frames": frames, "tokens": tokens},
            {"mask_logits": logits},
            name,
        )


def register():
    """Adds the one line of a registry that knows this model."""
    registry.MODELS["one"] = "one_layer.OneLayer"


if __name__ == "__main__":
    register()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
