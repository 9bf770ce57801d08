"""Arrays from the mask files of data sets: HDF5 and MATLAB.

Such a file may be damaged in any way. What it declares is checked before
anything is allocated, and whatever its reader raises is one error.
"""

import math

import h5py
import numpy as np

from keras_vas.data.records import mat_file

MOST_BYTES = 2**28


class UnreadableError(Exception):
    """The file is damaged, too large, or of another kind."""


class MissingArrayError(Exception):
    """The file has no array of a name that is needed."""


def read_h5(path, names):
    """Reads arrays of an HDF5 file.

    Args:
        path: `pathlib.Path`.
        names: of the arrays.

    Returns:
        List of numeric arrays.

    Raises:
        UnreadableError: it is no regular file, no HDF5 file, or an array is
            damaged, of another kind, stored elsewhere, or larger than
            `MOST_BYTES`.
        MissingArrayError: an array is missing.
    """
    return _guarded(_read_h5, path, names)


def read_mat(path, name):
    """Reads an array of a MATLAB file (version 5).

    Args:
        path: `pathlib.Path`.
        name: of the array.

    Returns:
        Numeric array.

    Raises:
        UnreadableError, MissingArrayError: as of `read_h5`.
    """
    return _guarded(_read_mat, path, name)


def _guarded(read, path, names):
    try:
        _require(path.is_file() and path.stat().st_size <= MOST_BYTES)
        return read(path, names)
    except (UnreadableError, MissingArrayError):
        raise
    except Exception as error:
        # h5py raises errors of a dozen types on damaged files.
        raise UnreadableError from error


def _require(condition):
    if not condition:
        raise UnreadableError


def _read_h5(path, names):
    with h5py.File(path, "r") as file:
        if not all(name in file for name in names):
            raise MissingArrayError
        return [_read_dataset(file, name) for name in names]


def _read_dataset(file, name):
    # Other links and layouts name other files, which are not read.
    _require(isinstance(file.get(name, getlink=True), h5py.HardLink))
    dataset = file[name]
    _require(
        isinstance(dataset, h5py.Dataset)
        and dataset.shape is not None
        and dataset.dtype.kind in "biuf"
        and not dataset.is_virtual
        and not dataset.external
        and dataset.nbytes <= MOST_BYTES
        and math.prod(dataset.chunks or ()) <= MOST_BYTES
    )
    return np.asarray(dataset[()])


def _read_mat(path, name):
    array = mat_file.read_array(path.read_bytes(), name, MOST_BYTES)
    if array is None:
        raise MissingArrayError
    return array
