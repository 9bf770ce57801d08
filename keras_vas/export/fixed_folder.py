"""An export of a fixed size for another runtime than TensorFlow's.

    DIR/<version>/
      what the runtime reads
      assets/vocabulary.txt
      assets.extra/presence.json, model_card.json, model_card.md
      assets.extra/manifest.json

A version is written aside and renamed when it is complete.
"""

import pathlib
import shutil

from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.prediction.runtimes import CALIBRATION, WORDS
from keras_vas.presence import score as presence_score

_OF_REQUESTS = ("limits", "outputs")
_OF_CLIPS = (
    "clip",
    "clip_offsets",
    "network_size",
    "words_read",
    "words_known",
)


def write(run, output, loaded, size, fill, about, **arguments):
    """Writes the next version of a model.

    Args:
        run: run directory written by train.py.
        output: folder of the model, made if it is missing.
        loaded: `(model, vocabulary, config)` of `saved_model.load`.
        size: `(height, width)` at which the model sees frames.
        fill: function that writes what the runtime reads into the folder
            whose path it is given.
        about: dict of what the model card says besides.
        **arguments: `precision` and others of `saved_model.card_of`.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: the folder cannot be written.
    """
    output = pathlib.Path(output)
    calibration = presence_score.Calibration.load(run)
    card = saved_model.card_of(
        run,
        output,
        (*loaded, calibration),
        height=size[0],
        width=size[1],
        frame_size=size,
        batch_size=1,
        **arguments,
    )
    card = {k: v for k, v in card.items() if k not in _OF_REQUESTS}
    card["inputs"] = {k: card["inputs"][k] for k in _OF_CLIPS}
    card |= about

    def whole(folder):
        (folder / WORDS).parent.mkdir()
        shutil.copyfile(pathlib.Path(run, "vocabulary.txt"), folder / WORDS)
        (folder / CALIBRATION).parent.mkdir()
        calibration.save(folder / CALIBRATION)
        fill(folder)
        saved_model.finish(folder, card)

    with saved_model.readable_errors(output):
        return saved_model.write_version(output, whole)


def network_size(variant, config):
    """`(height, width)` at which the model sees frames.

    Args:
        variant: `saved_model.Variant`.
        config: dict of the run's config.json.

    Raises:
        UserError: two sizes are given, one is no multiple of 32, or a number
            of clips is given.
    """
    if variant.batch_size:
        raise UserError(
            "--batch_size is for --format=savedmodel; the other formats take "
            "one clip at a time, so leave it out"
        )
    if not variant.frame_size:
        return variant.network_size(config)
    if variant.height or variant.width:
        raise UserError(
            "--fixed_shape is the size that the model sees; leave out --height "
            "and --width"
        )
    height, width = variant.frame_size
    return type(variant)(height, width).network_size(config)
