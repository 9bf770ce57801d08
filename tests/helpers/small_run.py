"""A run directory as train.py leaves it, of a small untrained CSTM."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import variables
from keras_vas.models.cstm.cstm import CSTM
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

HEIGHT, WIDTH = 32, 64
WORDS = ("a", "bright", "dark", "left", "on", "square", "the")


def make(folder, **arguments):
    """Writes the run directory; returns its `pathlib.Path`.

    About a third of the pixels of noise are above probability 0.5.
    """
    run = pathlib.Path(folder)
    vocabulary = Vocabulary(WORDS)
    model = CSTM(
        **{
            "vocabulary_size": len(vocabulary),
            "encoders": "temporal",
            "coordinate_fusion": "linear",
            "width": 0.0625,
            "decoder_channels": 128,
            "text_channels": 128,
            "embedding_dim": 16,
            **arguments,
        }
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if "moving" not in variable.path:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    frames = rng.uniform(0, 255, (2, 8, HEIGHT, WIDTH, 3))
    logits = model(
        {
            "frames": tf.constant(frames, tf.float32),
            "tokens": vocabulary.encode(["the bright square", "a dark"]),
        },
        training=False,
    )["mask_logits"]
    last = model.get_layer("decoder_head_1_logits")
    spread = np.std(logits)
    last.kernel.assign(last.kernel / spread)
    last.bias.assign((last.bias - np.quantile(logits, 0.66)) / spread)
    vocabulary.save(run / "vocabulary.txt")
    config = {
        "flags": {"frame_height": HEIGHT, "frame_width": WIDTH},
        "model": model.get_config(),
    }
    (run / "config.json").write_text(json.dumps(config))
    arrays = checkpoint.read(variables.model_variables(model))
    checkpoint.save(run_directory.best_path(run), arrays, {"training_only": []})
    return run
