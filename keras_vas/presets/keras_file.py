"""Reads `.keras` files of export.py, which may come from anyone."""

import io
import json

import keras

from keras_vas import packed_files
from keras_vas.data import frame_size
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import registry, variables
from keras_vas.presence import score as presence_score

MEMBERS = "keras_vas/"
_OURS = ("vocabulary.txt", "config.json", presence_score.FILE)
_WEIGHTS = "model.weights.h5"
_KERAS = {"metadata.json", "config.json", _WEIGHTS}


def load(path):
    """Loads a model and what belongs to it.

    Keras sees the file once all sizes in it are bounded by the file's own,
    and its class is a model of this project, of no more numbers than the
    weights hold.

    Args:
        path: of a `.keras` file that export.py wrote.

    Returns:
        `(model, vocabulary, config, calibration)`: a `SegmentationModel`, its
        `Vocabulary`, the dict of the run's config.json, and its
        `presence_score.Calibration`.

    Raises:
        UserError: there is no such file, or it is damaged or something else.
    """
    with packed_files.reading(
        path, ".keras file of export.py", "export it again"
    ):
        members = packed_files.read_zip(path)
        words, config, calibration = (
            members.pop(MEMBERS + name).decode() for name in _OURS
        )
        if members.keys() != _KERAS:
            raise ValueError(f"it holds {', '.join(members)[:100]}")
        config = json.loads(config)
        for side in ("frame_height", "frame_width"):
            if config["flags"][side] not in frame_size.SIDES:
                raise ValueError(f"{side} is {config['flags'][side]}")
        model_class = registry.model_class(registry.name_of(config))
        _check_model(path, members, model_class)
        return (
            keras.saving.load_model(path, compile=False),
            Vocabulary(words.split()),
            config,
            presence_score.Calibration.from_json(calibration),
        )


def _check_model(path, members, model_class):
    weights = io.BytesIO(members[_WEIGHTS])
    _, stored = packed_files.read_hdf5(weights, path, names=())
    described = json.loads(members["config.json"])
    name = keras.saving.get_registered_name(model_class)
    if described["registered_name"] != name:
        raise ValueError(f"it describes no {name}")
    _, needed = variables.make_within(
        lambda: model_class.from_config(described["config"]), most=-1
    )
    if needed > stored:
        raise ValueError(
            f"it describes a model of {needed:,} numbers and holds {stored:,}"
        )
