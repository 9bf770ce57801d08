"""What computes a model that is at hand: TensorFlow or OpenVINO.

OpenVINO takes a converted model, which is kept in the cache:

    CACHE/openvino/<checksum>/    see `openvino_parts`

The checksum is that of the weights, the model's arguments, the frame size and
the versions that converted it, so that an entry is never out of date.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_vas import __version__, files
from keras_vas.errors import UserError
from keras_vas.models.variables import model_variables
from keras_vas.prediction import openvino_parts
from keras_vas.prediction.openvino_segmenter import OpenVINOSegmenter
from keras_vas.prediction.segmenters import (
    MANIFEST,
    KerasSegmenter,
    SavedModelSegmenter,
)
from keras_vas.presence import score as presence_score
from keras_vas.weights import cache as weights_cache

Runtime = Literal["auto", "tensorflow", "openvino"]
# what a folder of export.py holds for each
FILES = {"tensorflow": "saved_model.pb", "openvino": openvino_parts.FILE}
WORDS = "assets/vocabulary.txt"
CALIBRATION = "assets.extra/presence.json"
FOLDER = "openvino"
KEPT = 4  # converted models


def segmenter(runtime, model, vocabulary, height, width, calibration):
    """The segmenter of a model.

    Args:
        runtime: `"tensorflow"` or `None`; `"openvino"`, in bfloat16 where the
            processor has it; or `"auto"`, OpenVINO where it is installed.
        model: `SegmentationModel` in float32.
        vocabulary: its `Vocabulary`.
        height: of the network's frames in pixels, a multiple of 32.
        width: likewise.
        calibration: `presence_score.Calibration`.

    Raises:
        UserError: OpenVINO is asked for and not installed, or the converted
            model cannot be kept.
    """
    instead = ""
    if runtime in ("auto", "openvino"):
        try:
            return _by_openvino(model, vocabulary, height, width, calibration)
        except UserError as error:
            if runtime == "openvino":
                raise
            instead = f" ({str(error).partition(';')[0]})"
    found = KerasSegmenter(model, vocabulary, height, width, calibration)
    found.runtime += instead
    return found


def check(runtime, own, folder):
    """Raises a `UserError` if an export is asked for another runtime."""
    if runtime not in (None, "auto", own):
        raise UserError(
            f"{folder} is computed by {own} alone; leave out "
            f"--runtime={runtime}, or name the run that it was exported from"
        )


def exported(runtime, folder, vocabulary):
    """The segmenter of an export.

    Args:
        runtime: key of `FILES`.
        folder: `pathlib.Path` of the export.
        vocabulary: its `Vocabulary`.

    Raises:
        UserError: OpenVINO is missing, or the export is damaged, of another
            version or of something else.
    """
    if runtime == "tensorflow":
        return SavedModelSegmenter(folder)
    calibration = presence_score.Calibration.load(folder / CALIBRATION)
    return OpenVINOSegmenter(folder, vocabulary, calibration)


def _by_openvino(model, vocabulary, height, width, calibration):
    entry = weights_cache.folder() / FOLDER / _key(model, height, width)
    others = vocabulary, calibration, "bfloat16"
    if (entry / MANIFEST).is_file():
        try:
            found = OpenVINOSegmenter(entry, *others)
            os.utime(entry)
            return found
        except UserError as error:
            print(f"made anew: {error}", file=sys.stderr)
    _convert(entry, model, height, width)
    return OpenVINOSegmenter(entry, *others)


def _convert(entry, model, height, width):
    """Makes an entry of the cache, instead of what stands there."""
    print(
        "converting the model for OpenVINO, once; kept in the cache",
        file=sys.stderr,
        flush=True,
    )
    cache = entry.parent
    try:
        with files.lock(cache):
            aside = cache / files.UNFINISHED
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            parts = openvino_parts.convert(model, height, width)
            openvino_parts.save(aside, parts, height, width)
            files.write_manifest(aside, aside / MANIFEST)
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
            aside.rename(entry)
            _forget_old(cache)
    except OSError as error:
        raise UserError(
            f"cannot keep a converted model in {cache} ({error.strerror}); "
            f"free some space, set {weights_cache.VARIABLE}, or compute with "
            "--runtime=tensorflow"
        ) from error


def _key(model, height, width):
    digest = hashlib.sha256()
    about = {
        "model": type(model).__name__,
        "arguments": model.inference_config(),
        "size": [height, width],
        "versions": [
            openvino_parts.VERSION,
            __version__,
            openvino_parts.library().__version__,
            keras.__version__,
            tf.__version__,
        ],
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    for path, variable in model_variables(model).items():
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(variable))
    return digest.hexdigest()


def _forget_old(cache):
    """Removes all but the entries that were used last."""
    entries = [
        path
        for path in cache.iterdir()
        if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()
    ]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in entries[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
