"""Reads NumPy arrays out of a pickle without running anything in it.

The few instructions with which NumPy writes arrays of numbers, in dicts, are
followed (`data.pickles`), every other is refused. An array is made of its bytes
alone, and what is built is bounded by the file's length and by a number of
steps.
"""

import re

import numpy as np

from keras_vas.data import pickles
from keras_vas.errors import UserError

_SEPARATOR = "|"
_STEPS = 100_000  # I3D takes 7,633
_DEPTH = 16
_ARRAY_CLASS = object()  # stands for numpy.ndarray


class _Type:
    """Stands for `numpy.dtype`: numbers; no objects, no structures."""

    def __init__(self, code, *_):
        if not isinstance(code, str) or not re.fullmatch("[biuf][1248]", code):
            raise ValueError("it holds arrays of other things than numbers")
        self.dtype = np.dtype(code)

    def set(self, _, order, *more):
        """Takes the state that NumPy pickles of a type: its byte order."""
        if order not in ("<", ">", "|", "="):
            raise ValueError("an array has an unknown byte order")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array that NumPy begins empty and then fills."""

    def __init__(self, cls, shape, _):
        if cls is not _ARRAY_CLASS or shape != (0,):
            raise ValueError("an array begins in an unknown way")
        self.array = None

    def set(self, _, shape, type_, fortran, data):
        """Takes the state that NumPy pickles of an array."""
        self.array = _array(data, type_, shape, "F" if fortran else "C")


def _array_of_buffer(data, type_, shape, order):
    """Stands for NumPy's `_frombuffer`, that of pickle protocol 5."""
    made = _Array(_ARRAY_CLASS, (0,), None)
    made.array = _array(data, type_, shape, order)
    return made


def _array(data, type_, shape, order):
    if not isinstance(data, bytes | bytearray) or not isinstance(type_, _Type):
        raise ValueError("an array is made in an unknown way")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError("an array has an unknown shape")
    return np.frombuffer(data, type_.dtype).reshape(shape, order=order)


_GLOBALS = {
    "numpy ndarray": _ARRAY_CLASS,
    "numpy dtype": _Type,
    "numpy.core.multiarray _reconstruct": _Array,
    "numpy._core.multiarray _reconstruct": _Array,
    "numpy.core.numeric _frombuffer": _array_of_buffer,
    "numpy._core.numeric _frombuffer": _array_of_buffer,
}


def read(data, source):
    """Reads nested dicts of arrays from a pickle.

    Args:
        data: bytes of the pickle.
        source: where they come from, for the message.

    Returns:
        Dict of path to array; a path is the keys joined by `|`.

    Raises:
        UserError: the pickle is damaged, or holds anything but arrays of
            numbers in dicts keyed by strings.
    """
    try:
        return _leaves(
            pickles.follow(
                data,
                steps=_STEPS,
                known=_GLOBALS,
                callables=(_Type, _Array, _array_of_buffer),
                fillable=(_Type, _Array),
            )
        )
    except Exception as error:
        raise UserError(
            f"{source} is refused ({' '.join(str(error).split())[:200]}); a "
            "pickle may hold arrays of numbers in dicts and nothing else. Get "
            "the file again, or use another source"
        ) from error


def _leaves(value):
    """Dict of path to array, of nested dicts; each may be in several."""
    arrays, waiting = {}, [((), value)]
    for _ in range(_STEPS):
        if not waiting:
            return arrays
        path, value = waiting.pop()
        if isinstance(value, dict) and len(path) < _DEPTH:
            inner = [((*path, key), value[key]) for key in value]
            waiting.extend(reversed(inner))
        elif isinstance(value, _Array) and value.array is not None:
            arrays[_SEPARATOR.join(path)] = value.array
        else:
            raise ValueError("it holds something else than dicts and arrays")
        if len(waiting) > _STEPS:
            break
    raise ValueError(f"it holds more than {_STEPS:,} arrays")
