"""A trained run as one small file, without published backbones left frozen.

    FILE.npz   `about`, JSON as bytes: version, the run's config.json, words,
               for each frozen backbone the name of its weights, and the
               calibration of its score and threshold
               every other variable of the model by its path, float16: its
               low bytes, then its high bytes, which compress better apart

The weights of `ClassPrior` follow from the head of the spatial backbone and
the vocabulary, so they are not stored either.
"""

import dataclasses
import json
import pathlib

import numpy as np

from keras_vas import files, packed_files, weights
from keras_vas.errors import UserError
from keras_vas.layers.class_prior import ClassPrior
from keras_vas.models.variables import model_variables
from keras_vas.presence import score as presence_score
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.weights import class_prior

VERSION = 1
SUFFIX = ".npz"
LARGEST = 20_000_000  # bytes of a file
_ABOUT = "about"
_PARTS = {"version", "config", "words", "backbones", "presence"}
_NOT_STORED = 50_000_000  # at most as many numbers of backbones and prior
_ADVICE = "install the package again, or make it with export.py --format=preset"
_BACKBONES = ("spatial_backbone", "temporal_backbone")
_FLAGS = ("frame_height", "frame_width", "validation_videos", "seed")


def fold(run, output):
    """Writes the preset of a run.

    Args:
        run: run directory.
        output: path of the file, with the suffix `.npz`.

    Raises:
        UserError: another suffix, or a file that would be too large.
    """
    if pathlib.Path(output).suffix != SUFFIX:
        raise UserError(f"--output={output} must end in {SUFFIX}")
    model, vocabulary, config = run_directory.load_run(run)
    variables = model_variables(model)
    without = {
        path for path in variables if path.startswith(tuple(_derived(model)))
    }
    backbones = {}
    frozen = config["flags"].get("freeze", "none") != "none"
    for part in _BACKBONES if frozen else ():
        stored = _backbone(model, part)
        name = _known_weights(model, part) if stored else None
        if name:
            backbones[part] = name
            without |= set(stored)
    arrays = {
        path: _planes(np.asarray(variable).astype(np.float16))
        for path, variable in variables.items()
        if path not in without
    }
    about = {
        "version": VERSION,
        "config": {
            **config,
            "flags": {k: v for k, v in config["flags"].items() if k in _FLAGS},
            "data_manifest": {
                "parts": run_directory.trained_on(
                    config.get("data_manifest", {})
                )
            },
        },
        "words": vocabulary.words,
        "backbones": backbones,
        "presence": dataclasses.asdict(presence_score.Calibration.load(run)),
    }
    with files.atomic_path(pathlib.Path(output)) as path:
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez_compressed(path, **{_ABOUT: text}, **arrays)
        size = path.stat().st_size
        if size > LARGEST:
            raise UserError(
                f"the preset of {run} has {size / 1e6:.0f} MB, and at most "
                f"{LARGEST / 1e6:.0f} are allowed; leave published backbones "
                "frozen in training, which a preset does without"
            )


def load(path, cache=None):
    """Loads a preset, with its backbones.

    Args:
        path: the preset's file.
        cache: folder of the cache of weights.

    Returns:
        `(model, words, config, calibration)`: a `SegmentationModel`, the list
        of its words, the dict of a run's config.json, and its
        `presence_score.Calibration`.

    Raises:
        UserError: the file is damaged or of another version, or backbones
            cannot be had.
    """
    about, arrays = read(path)
    run_directory.check_config(about["config"], path)
    stored = sum(array.size for array in arrays.values())
    model = run_directory.build_model(
        about["config"], path, stored + _NOT_STORED
    )
    variables = model_variables(model)
    known = set(arrays)
    heads = {}
    for part, name in about["backbones"].items():
        found = _weights(model, part, name, cache)
        weights.assign(model, part, found)
        heads[part] = found.arrays.get("head/kernel")
        known |= set(_backbone(model, part))
    for layer in model.layers:
        if isinstance(layer, ClassPrior):
            class_prior.assign(
                layer,
                model.get_config()["spatial_backbone"],
                heads.get("spatial_backbone"),
                about["words"],
            )
    known |= {k for k in variables if k.startswith(tuple(_derived(model)))}
    checkpoint.assign(
        {k: variables[k] for k in variables if k in arrays or k not in known},
        arrays,
        path,
    )
    calibration = presence_score.Calibration(**about["presence"])
    return model, about["words"], about["config"], calibration


def read(path):
    """The description and the float32 arrays of a preset's file.

    Raises:
        UserError: it is damaged, no preset, or of another version.
    """
    with packed_files.reading(path, "preset", _ADVICE):
        stored = packed_files.read_npz(path)
        about = json.loads(stored.pop(_ABOUT).tobytes())
        version = about["version"]
        if not about.keys() >= _PARTS:
            raise ValueError("a part of its description is missing")
        presence_score.Calibration.from_json(json.dumps(about["presence"]))
        if not about["backbones"].keys() <= set(_BACKBONES):
            raise ValueError("it describes other backbones")
        if not all(word.split() == [word] for word in about["words"]):
            raise ValueError("a word is none")
        arrays = {
            name: _from_planes(planes).astype(np.float32)
            for name, planes in stored.items()
        }
    if version != VERSION:
        raise UserError(
            f"{path} is a preset of version {version}, and this program reads "
            f"version {VERSION}; make it again with export.py --format=preset"
        )
    return about, arrays


def _planes(array):
    """float16 `shape` as uint8 `(2, *shape)`."""
    return np.moveaxis(array[..., None].view(np.uint8), -1, 0)


def _from_planes(planes):
    joined = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return joined.view(np.float16)[..., 0]


def _weights(model, part, name, cache=None):
    return weights.load(name, model.get_config()[part], cache)


def _known_weights(model, part):
    """The name of the published weights that a backbone has, or `None`."""
    variables = model_variables(model)
    before = {k: np.array(variables[k]) for k in _backbone(model, part)}
    architecture = model.get_config()[part]
    for name, known in weights.REGISTRY.items():
        if known.architecture != architecture:
            continue
        weights.assign(model, part, _weights(model, part, name))
        if all(
            np.allclose(array, variables[path], rtol=1e-3, atol=1e-5)
            for path, array in before.items()
        ):
            return name
    for path, array in before.items():
        variables[path].assign(array)
    return None


def _backbone(model, part):
    prefixes = model.parts.get(part, ("-",))
    return [k for k in model_variables(model) if k.startswith(prefixes)]


def _derived(model):
    """Names of the layers whose weights follow from others."""
    return [x.name + "/" for x in model.layers if isinstance(x, ClassPrior)]
