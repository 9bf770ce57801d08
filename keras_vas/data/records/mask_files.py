"""Arrays from the mask files of data sets: HDF5 and MATLAB.

Such a file may be damaged in any way. What it declares is checked before
anything is allocated, and whatever its reader raises is one error.
"""

import io
import math
import struct
import zlib

import h5py
import numpy as np
import scipy.io

MOST_BYTES = 2**28

_MAT_HEADER_BYTES = 128
_COMPRESSED = 15
_MAT_CLASSES = {
    "logical": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2,
    "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "single": 4, "double": 8,
}  # fmt: skip


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
        # h5py and SciPy raise errors of a dozen types on damaged files.
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
    file = io.BytesIO(_inflated(path.read_bytes()))
    found = {entry[0]: entry[1:] for entry in scipy.io.whosmat(file)}
    if name not in found:
        raise MissingArrayError
    shape, kind = found[name]
    _require(kind in _MAT_CLASSES)
    _require(math.prod(shape) * _MAT_CLASSES[kind] <= MOST_BYTES)
    array = scipy.io.loadmat(file, variable_names=[name])[name]
    _require(array.dtype.kind in "biuf")
    return array


def _inflated(data):
    """The same file without compression, at most `MOST_BYTES` of it."""
    order = {b"IM": "<", b"MI": ">"}[data[126:_MAT_HEADER_BYTES]]
    parts, size, at = [data[:_MAT_HEADER_BYTES]], 0, _MAT_HEADER_BYTES
    while at < len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind == _COMPRESSED:
            reader = zlib.decompressobj()
            content = reader.decompress(content, MOST_BYTES - size)
            _require(reader.eof)
        else:
            content = data[at : at + 8] + content
        parts.append(content)
        size += len(content)
        at += 8 + length
    return b"".join(parts)
