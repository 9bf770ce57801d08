"""Reads NumPy arrays out of a pickle without running anything in it.

A pickle is a program that may call whatever it names. This reader knows the
names under which NumPy writes arrays, and the plain containers, which need no
name. It refuses every other, so that a hostile file can do nothing but fail.
"""

import io
import pickle

import numpy as np

from keras_vas.errors import UserError

_SEPARATOR = "|"
_NUMBERS = "biuf"


class _NewArray:
    """Stands for NumPy's `_reconstruct`: an empty array, filled afterwards."""

    __slots__ = ()

    def __call__(self, cls, shape, _):
        if cls is not np.ndarray or shape != (0,):
            raise pickle.UnpicklingError("an array begins in an unknown way")
        return np.empty(shape, np.int8)


class _ArrayOfBytes:
    """Stands for NumPy's `_frombuffer`, that of pickle protocol 5."""

    __slots__ = ()

    def __call__(self, buffer, dtype, shape, order):
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)


class _NumberType:
    """Stands for `numpy.dtype`: numbers; no objects, no structures."""

    __slots__ = ()

    def __call__(self, code, *flags):
        if not isinstance(code, str) or np.dtype(code).kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"it holds arrays of {code!r}")
        return np.dtype(code, *flags)


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _NumberType(),
    ("numpy.core.multiarray", "_reconstruct"): _NewArray(),
    ("numpy._core.multiarray", "_reconstruct"): _NewArray(),
    ("numpy.core.numeric", "_frombuffer"): _ArrayOfBytes(),
    ("numpy._core.numeric", "_frombuffer"): _ArrayOfBytes(),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it asks for an object outside the file")


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
        value = _ArraysOnly(io.BytesIO(data)).load()
        return dict(_leaves(value, ()))
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            f"{source} is refused ({error}); a pickle may hold arrays of "
            "numbers in dicts and nothing else. Get the file again, or use "
            "another source"
        ) from error


def _leaves(value, path):
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"a key is {key!r} instead of a text")
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        yield _SEPARATOR.join(path), value
    else:
        raise ValueError(f"it holds a {type(value).__name__}")
