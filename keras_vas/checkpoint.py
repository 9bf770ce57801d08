"""Weights on disk: `.npz` files of arrays keyed by variable path.

    RUN/config.json            {"flags", "model", "versions", "data_manifest"}
    RUN/vocabulary.txt         one word a line
    RUN/checkpoints/last.npz   model and optimizer: training goes on from it
    RUN/checkpoints/best.npz   model alone: what is evaluated and exported

An array is named by the path of its model variable; the optimizer's arrays
carry the prefix `optimizer/`. The entry `metadata` is a JSON text: epoch,
step, best metric, and `training_only`, the paths of the variables that the
inference model does without. Files are written aside, flushed and renamed.
"""

import contextlib
import json
import pathlib
import zipfile

import keras
import numpy as np

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.models.segmenter import CSTM

METADATA = "metadata"
OPTIMIZER = "optimizer/"
ENCODERS = ("spatial_", "temporal_")
WORD_VECTORS = "word_embedding"
_NAMED = 3


def last_path(run):
    """`pathlib.Path` of the checkpoint from which `run` goes on."""
    return pathlib.Path(run) / "checkpoints" / "last.npz"


def best_path(run):
    """`pathlib.Path` of the checkpoint of `run` that is evaluated."""
    return pathlib.Path(run) / "checkpoints" / "best.npz"


def save(path, arrays, metadata):
    """Writes one checkpoint; whatever stood at `path` stays on failure.

    Args:
        path: file to write; its folder is made if it is missing.
        arrays: dict of variable path to array.
        metadata: dict that JSON can hold.

    Raises:
        UserError: an array holds NaN or infinity, or the disk is full.
    """
    broken = [key for key, array in arrays.items() if not _finite(array)]
    if broken:
        raise UserError(
            f"{len(broken)} variables hold NaN or infinity ({_some(broken)}); "
            f"not written to {path}, which keeps the last good weights. Lower "
            "--learning_rate or set --clip_norm"
        )
    text = json.dumps(metadata, allow_nan=False)
    try:
        with files.atomic_path(path) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, **{METADATA: np.array(text)}, **arrays)
    except OSError as error:
        raise UserError(
            f"cannot write the checkpoint {path}: {error.strerror or error}; "
            "the one before it is whole. Mend this and start again with the "
            "same command"
        ) from error


def load(path):
    """Reads one checkpoint.

    Args:
        path: file written by `save`.

    Returns:
        `(arrays, metadata)`: dict of variable path to NumPy array, and dict.

    Raises:
        UserError: there is no such file, or it is no whole checkpoint.
    """
    with _archive(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
        return arrays, json.loads(str(arrays.pop(METADATA)))


def load_metadata(path):
    """Like `load`, but reads the metadata alone."""
    with _archive(path) as archive:
        return json.loads(str(archive[METADATA]))


@contextlib.contextmanager
def _archive(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except FileNotFoundError as error:
        raise UserError(
            f"there is no checkpoint {path}; train the run first"
        ) from error
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        EOFError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path} is no whole checkpoint of this project ({error}); "
            "remove it, or bring it back from a copy"
        ) from error


def model_variables(model):
    """Dict of path to `keras.Variable`, every variable of `model`."""
    mapping = {variable.path: variable for variable in model.weights}
    if len(mapping) != len(model.weights):
        paths = [variable.path for variable in model.weights]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(
            f"Variable paths must be unique. Received: {_some(twice)}"
        )
    return mapping


def read(variables):
    """Dict of path to NumPy array, the values of `variables` now."""
    return {path: np.asarray(v.numpy()) for path, v in variables.items()}


def assign(variables, arrays, source):
    """Gives every variable its array.

    Args:
        variables: dict of path to Keras or TensorFlow variable.
        arrays: dict of path to array, the same paths and shapes.
        source: where the arrays come from, for the message.

    Raises:
        UserError: a path is on one side only, or a shape differs. No
            variable has changed then.
    """
    differences = _differences(variables, arrays)
    if differences:
        raise UserError(
            f"{source} is of another architecture: {differences}. Give the "
            "model's flags with which it was trained, or start a new --workdir"
        )
    for path, variable in variables.items():
        variable.assign(arrays[path])


def training_only(model):
    """Sorted paths of the variables that `mask_logits` does without."""
    inference = keras.Model(model.inputs, model.output["mask_logits"])
    needed = {variable.path for variable in inference.weights}
    return sorted(set(model_variables(model)) - needed)


def read_config(run):
    """The dict in `RUN/config.json`; a `UserError` if `run` is no run."""
    path = pathlib.Path(run) / "config.json"
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{run} is no run of train.py: there is no {path}"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON text: {error}") from error


def load_run(run, which="best"):
    """Loads a trained run for inference.

    Args:
        run: run directory written by train.py.
        which: `"best"` or `"last"` checkpoint.

    Returns:
        `(model, vocabulary, config)`: a `CSTM` without training-only heads,
        its `Vocabulary`, and the dict of `RUN/config.json`.

    Raises:
        UserError: a file is missing, damaged, or of another architecture.
        ValueError: for another value of `which`.
    """
    if which not in ("best", "last"):
        raise ValueError(f"which is 'best' or 'last'. Received: which={which}")
    config = read_config(run)
    path = best_path(run) if which == "best" else last_path(run)
    arrays, metadata = load(path)
    without = set(metadata["training_only"])
    arrays = {
        key: array
        for key, array in arrays.items()
        if key not in without and not key.startswith(OPTIMIZER)
    }
    model = CSTM.from_config(config["model"])
    assign(model_variables(model), arrays, path)
    return model, load_vocabulary(run), config


def load_vocabulary(run):
    """The `Vocabulary` of a run; a `UserError` if the file is missing."""
    path = pathlib.Path(run) / "vocabulary.txt"
    if not path.is_file():
        raise UserError(f"{run} is no whole run: there is no {path}")
    # Brings TensorFlow in, which writing a run does without.
    from keras_vas.data.vocabulary import Vocabulary

    return Vocabulary.load(path)


def assign_model(model, run):
    """Gives `model` all weights of the best checkpoint of `run`."""
    arrays, _ = load(best_path(run))
    assign(model_variables(model), arrays, best_path(run))


def assign_backbone(model, encoder, run):
    """Gives `model` the backbone of a run, without text encoder and CMAMs.

    Args:
        model: a `CSTM` with the encoder.
        encoder: `"spatial"` or `"temporal"`.
        run: a directory with `checkpoints/best.npz`.

    Returns:
        How many arrays were assigned.

    Raises:
        UserError: the run's backbone has another architecture or width.
    """
    prefix = f"{encoder}_backbone"
    variables = _within(model_variables(model), prefix)
    arrays, _ = load(best_path(run))
    assign(variables, _within(arrays, prefix), best_path(run))
    return len(variables)


def assign_encoders(model, runs):
    """Gives `model` the encoders that other runs have trained.

    Args:
        model: a `CSTM` with the encoders named in `runs`.
        runs: dict of layer prefix (`"spatial_"`, `"temporal_"`) to run
            directory. Taken are its best checkpoint's variables of layers so
            named, and its word vectors, which must agree between the runs.

    Raises:
        UserError: a run's encoder has another architecture, or the word
            vectors of two runs differ.
    """
    variables = model_variables(model)
    words = {p: v for p, v in variables.items() if p.startswith(WORD_VECTORS)}
    found = {}
    for prefix, run in runs.items():
        path = best_path(run)
        arrays, _ = load(path)
        assign(_within(variables, prefix), _within(arrays, prefix), path)
        vectors = _within(arrays, WORD_VECTORS)
        assign(words, vectors, path)
        for other, theirs in found.items():
            if any(not np.array_equal(vectors[k], theirs[k]) for k in vectors):
                raise UserError(
                    f"the word vectors of {run} differ from those of {other}; "
                    "train both from the same --word_vectors, with "
                    "--notrain_embeddings"
                )
        found[run] = vectors


def _within(mapping, prefix):
    return {k: v for k, v in mapping.items() if k.startswith(prefix)}


def _differences(variables, arrays):
    shapes = [
        f"{path} {tuple(arrays[path].shape)} instead of {tuple(v.shape)}"
        for path, v in variables.items()
        if path in arrays and tuple(arrays[path].shape) != tuple(v.shape)
    ]
    parts = {
        "missing": sorted(set(variables) - set(arrays)),
        "unexpected": sorted(set(arrays) - set(variables)),
        "of other shape": shapes,
    }
    return "; ".join(
        f"{len(names)} {what} ({_some(names)})"
        for what, names in parts.items()
        if names
    )


def _some(names):
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _finite(array):
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
