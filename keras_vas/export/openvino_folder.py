"""A run as a folder that OpenVINO computes.

    DIR/<version>/
      openvino.json, clip.*, text.*, joint.*    see `openvino_parts`
      assets/vocabulary.txt
      assets.extra/presence.json, model_card.json, model_card.md
      assets.extra/manifest.json

A version is written aside and renamed when it is complete.
"""

import pathlib
import shutil

from keras_vas.errors import UserError
from keras_vas.export import quantization, saved_model
from keras_vas.prediction import openvino_parts
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


def export(
    run,
    output,
    variant,
    *,
    which="best",
    evaluation=None,
    licence=None,
    preset=None,
    data=None,
    force=False,
):
    """Writes the next version of a model for OpenVINO.

    Args:
        run: run directory written by train.py.
        output: folder of the model, made if it is missing.
        variant: `saved_model.Variant`; its `fixed_shape` is the size at which
            the model sees frames.
        which: `"best"` or `"last"` checkpoint.
        evaluation: as `saved_model.saved_model` takes it.
        licence: likewise.
        preset: likewise.
        data: folder with the run's records, which the precision int8 needs,
            see `quantization`.
        force: write a model in int8 also if it loses too much by it.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: OpenVINO (or NNCF, for int8) is missing, the run is no whole
            run, the records do not fit, int8 loses too much, or the folder
            cannot be written.
    """
    openvino_parts.library()
    in_int8 = variant.precision == "int8"
    if in_int8:
        quantization.library()
        if data is None:
            raise UserError(
                "--precision=int8 is calibrated on records; give --data=RECORDS"
            )
    elif force:
        raise UserError("--force is for --precision=int8; leave it out")
    output = pathlib.Path(output)
    saved_model.check_folder(output)
    model, vocabulary, config = saved_model.load(run, which)
    calibration = presence_score.Calibration.load(run)
    height, width = network_size(variant, config)
    if in_int8:
        samples = quantization.draw(data, config["flags"], vocabulary, force)
    parts = openvino_parts.convert(model, height, width)
    quantized = {}
    if in_int8:
        size = height, width
        parts, quantized["int8"] = quantization.quantize(
            parts, size, vocabulary, calibration, samples, force
        )
    card = saved_model.card_of(
        run,
        output,
        (model, vocabulary, config, calibration),
        which=which,
        evaluation=evaluation,
        licence=licence,
        preset=preset,
        precision=variant.precision,
        height=height,
        width=width,
        frame_size=(height, width),
        batch_size=1,
    )
    card = {k: v for k, v in card.items() if k not in _OF_REQUESTS}
    card["inputs"] = {k: card["inputs"][k] for k in _OF_CLIPS}
    card |= {"runtime": "OpenVINO", **quantized}

    def write(folder):
        (folder / WORDS).parent.mkdir()
        shutil.copyfile(pathlib.Path(run, "vocabulary.txt"), folder / WORDS)
        (folder / CALIBRATION).parent.mkdir()
        calibration.save(folder / CALIBRATION)
        openvino_parts.save(folder, parts, height, width, variant.precision)
        saved_model.finish(folder, card)

    with saved_model.readable_errors(output):
        return saved_model.write_version(output, write)


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
            "--batch_size is for --format=savedmodel; OpenVINO takes one clip "
            "at a time, so leave it out"
        )
    if not variant.frame_size:
        return variant.network_size(config)
    if variant.height or variant.width:
        raise UserError(
            "--fixed_shape is what OpenVINO's model sees; leave out --height "
            "and --width"
        )
    height, width = variant.frame_size
    return type(variant)(height, width).network_size(config)
