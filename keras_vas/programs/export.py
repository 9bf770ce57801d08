"""Exports a trained run for TF Serving, or as one Keras file.

    python export.py --workdir=RUN --output=DIR/cstm
    python export.py --workdir=RUN --output=FILE.keras --format=keras
    python export.py --workdir=RUN --output=FILE.npz --format=preset
    python export.py --workdir=RUN --output=DIR --format=openvino|onnx|litert

The first writes DIR/cstm/<version>/, the next free number: a SavedModel with
the signatures serving_default, segment_jpeg, segment_many, segment_many_jpeg
and describe: see docs/serving_contract.md. The last writes DIR/<version>/ for
OpenVINO, which segment.py and keras_vas.load take, or with the graph that ONNX
Runtime or LiteRT computes: see docs/openvino.md. With
--data=RECORDS the threshold of masks and the score, how sure the model is that
the actor is there at all, are calibrated first and RUN/presence.json written;
with --precision=int8 the 8-bit convolutions are calibrated instead.
"""

import json
import pathlib

from absl import flags, logging

from keras_vas import command_line, errors, presets
from keras_vas.export import (
    fixed_folder,
    one_graph,
    openvino_folder,
    saved_model,
)
from keras_vas.prediction import openvino_parts
from keras_vas.presence import calibration as presence_calibration
from keras_vas.presence import score as presence_score
from keras_vas.presets import preset_file
from keras_vas.runs import run as run_directory

_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Run directory written by train.py, a preset, a .keras file, or the "
    "address of a file: https://HOST/FILE#sha256=HEX, hf://USER/MODEL or "
    "kaggle://...",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder of the model, named as the model, or the .keras file.",
    required=True,
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "savedmodel",
    ["savedmodel", "keras", "preset", "openvino", *one_graph.FILES],
    "Kind of file or folder to write.",
)
_WHICH = flags.DEFINE_enum(
    "which", "best", ["best", "last"], "Checkpoint of the run to export."
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "Folder with the run's records, to calibrate the score, or int8.",
)
_FORCE = flags.DEFINE_bool(
    "force",
    False,
    "Write a model in int8 also if its masks lose too much by it.",
)
_METRICS = flags.DEFINE_string(
    "metrics",
    None,
    "File metrics.json of evaluate.py, for the model card; by default the "
    "run's, if it has one.",
)
_LICENCE = flags.DEFINE_string(
    "licence", None, "Licence of the weights, for the model card."
)
VARIANT_FLAGS = command_line.define_flags(saved_model.Variant)


def main(_):
    """Exports as the flags say."""
    logging.set_verbosity(logging.WARNING)
    run, output = presets.run_of(_WORKDIR.value), _OUTPUT.value
    if _FORMAT.value == "preset":
        _refuse_serving_flags()
        if _DATA.value:
            config = run_directory.read_config(run)
            _calibrate(run, *saved_model.Variant().network_size(config))
        preset_file.fold(run, output)
        _say_written(output)
        return
    variant = command_line.build(saved_model.Variant)
    writer, more = saved_model.saved_model, {}
    config = run_directory.read_config(run)
    if _FORMAT.value == "openvino":
        openvino_parts.library()
        writer = openvino_folder.export
        more = {"data": _DATA.value, "force": _FORCE.value}
        size = fixed_folder.network_size(variant, config)
    elif _FORMAT.value in one_graph.FILES:
        writer, more = one_graph.export, {"kind": _FORMAT.value}
        size = fixed_folder.network_size(variant, config)
    else:
        size = variant.network_size(config)
    if _FORCE.value and _FORMAT.value != "openvino":
        raise errors.UserError("--force is for --precision=int8; leave it out")
    if _FORMAT.value == "keras":
        _refuse_serving_flags()
        saved_model.check_keras_file(output)
    else:
        saved_model.check_folder(output)
    evaluation = _evaluation(_METRICS.value)
    if _DATA.value and variant.precision != "int8":
        _calibrate(run, *size)
    if _FORMAT.value == "keras":
        path = saved_model.keras_file(run, output, which=_WHICH.value)
    else:
        path = writer(
            run,
            output,
            variant,
            which=_WHICH.value,
            evaluation=evaluation,
            licence=_LICENCE.value,
            preset=presets.PRESETS.get(_WORKDIR.value),
            **more,
        )
    if not presence_score.Calibration.load(run).calibrated:
        print("the score is not calibrated; --data=RECORDS does it")
    _say_written(path)


def _calibrate(run, height, width):
    model, vocabulary, config = saved_model.load(run, _WHICH.value)
    calibration = presence_calibration.calibrate(
        model,
        vocabulary,
        config,
        _DATA.value,
        height=height,
        width=width,
    )
    calibration.save(run)
    found = calibration.metrics
    print(
        f"score calibrated ({calibration.source}); on {found['queries']} other "
        f"queries, half of them about absent actors: AUC {found['auc']:.3f}, "
        f"Brier {found['brier']:.3f}, calibration error "
        f"{found['calibration_error']:.3f}; written to "
        f"{pathlib.Path(run) / presence_score.FILE}"
    )


def _say_written(path):
    print(f"written to {path}")
    if _FORMAT.value == "savedmodel":
        served = pathlib.Path(path).parent
        print(f"next: python -m keras_vas.serving_server --model={served}")
    elif _FORMAT.value in one_graph.FILES:
        file = pathlib.Path(path, one_graph.FILES[_FORMAT.value])
        print(f"next: load {file} with {one_graph.RUNTIMES[_FORMAT.value]}")
    else:
        print(f"next: python segment.py --model={path} --video=... --query=...")


def _refuse_serving_flags():
    given = [
        name
        for name in (*VARIANT_FLAGS, "metrics", "licence", "force")
        if name not in ("height", "width")
        and flags.FLAGS[name].value != flags.FLAGS[name].default
    ]
    if given:
        raise errors.UserError(
            f"--{given[0]} is for --format=savedmodel or openvino; leave it out"
        )


def _evaluation(path):
    if path is None:
        return None
    try:
        return json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise errors.UserError(f"{path} is no JSON text: {error}") from error


def run():
    """Runs the program."""
    command_line.run(main)


if __name__ == "__main__":
    run()
