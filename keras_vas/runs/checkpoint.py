"""Weights on disk: `.npz` files of arrays keyed by variable path.

An array is named by the path of its model variable; the optimizer's arrays
carry the prefix `optimizer/`. The entry `metadata` is a JSON text: epoch,
step, best metric, `training_only`, the paths of the variables that the
inference model does without, and `sha256`, of all that the file holds. Files
are written aside, flushed and renamed.
"""

import hashlib
import json

import numpy as np

from keras_vas import files, packed_files
from keras_vas.errors import UserError

METADATA = "metadata"
_DIGEST = "sha256"
OPTIMIZER = "optimizer/"
_NAMED = 3


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
    text = json.dumps(
        {**metadata, _DIGEST: _digest(arrays, metadata)}, allow_nan=False
    )
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
        UserError: there is no such file, it is no whole checkpoint, or
            another than `save` wrote. One of an earlier version has no
            checksum, and none is asked for.
    """
    with _reading(path):
        arrays = packed_files.read_npz(path)
        metadata = json.loads(str(arrays.pop(METADATA)))
        told = metadata.pop(_DIGEST, None)
        if told not in (None, _digest(arrays, metadata)):
            raise ValueError("it is not what was written")
        return arrays, metadata


def load_metadata(path):
    """Like `load`, but reads the metadata alone, and trusts it."""
    with _reading(path):
        text = packed_files.read_npz(path, [METADATA])[METADATA]
        metadata = json.loads(str(text))
        metadata.pop(_DIGEST, None)
        return metadata


def _digest(arrays, metadata):
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _reading(path):
    return packed_files.reading(
        path,
        "checkpoint",
        advice="remove it, or bring it back from a copy",
        missing="train the run first",
    )


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
