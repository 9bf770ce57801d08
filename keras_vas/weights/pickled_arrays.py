"""Reads NumPy arrays out of a pickle without running anything in it.

A pickle is a program that may call whatever it names. Python's parser takes
this one apart and nothing runs it: the few instructions with which NumPy
writes arrays of numbers, in dicts, are followed here, every other is refused;
`torch_file` adds what stands for tensors. An array is made of its bytes alone,
and what is built is bounded by the file's length and by a number of steps, so
that a hostile file can do nothing but fail.
"""

import pickletools
import re

import numpy as np

from keras_vas.errors import UserError

_SEPARATOR = "|"
_STEPS = 100_000  # I3D takes 7,633
_DEPTH = 16
_KEY_LENGTH = 200
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
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
        return _leaves(followed(data, _GLOBALS))
    except Exception as error:
        raise UserError(
            f"{source} is refused ({' '.join(str(error).split())[:200]}); a "
            "pickle may hold arrays of numbers in dicts and nothing else. Get "
            "the file again, or use another source"
        ) from error


def followed(data, names, persistent=None, steps=_STEPS):
    """What a pickle builds.

    Args:
        data: bytes of the pickle.
        names: dict of "module name" to what stands for it; a function in it
            may be called with what the pickle holds.
        persistent: function of a persistent id to what stands for it.
        steps: how many instructions are followed at most.

    Raises:
        Exception: of any kind, for anything else.
    """
    stack, marks, memo = [], [], []

    def taken(count):
        start = len(stack) - count
        if start < (marks[-1] if marks else 0):
            raise ValueError("it takes more than there is")
        items = tuple(stack[start:])
        del stack[start:]
        return items

    def top():
        (item,) = taken(1)
        stack.append(item)
        return item

    for step, (opcode, value, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if step == steps:
            raise ValueError(f"it takes more than {steps:,} steps")
        if name in _VALUES:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(taken(_TUPLES[name]))
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(taken(len(stack) - marks[-1]))
            marks.pop()
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "SETITEM":
            _set_items(taken(2), top())
        elif name == "SETITEMS":
            items = taken(len(stack) - marks.pop())
            _set_items(items, top())
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            if value not in (None, len(memo)):
                raise ValueError("it numbers its objects in an unknown way")
            memo.append(top())
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            wanted = value or "{!s} {!s}".format(*map(_text, taken(2)))
            if wanted not in names:
                raise ValueError(f"it asks for {wanted}")
            stack.append(names[wanted])
        elif name == "REDUCE":
            function, arguments = taken(2)
            if not callable(function) or function not in names.values():
                raise ValueError("it calls what is no function")
            stack.append(function(*arguments))
        elif name == "BUILD":
            (state,) = taken(1)
            if not hasattr(top(), "set"):
                raise ValueError("it fills what is no array")
            top().set(*state)
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("APPEND", "APPENDS"):
            count = 1 if name == "APPEND" else len(stack) - marks.pop()
            items = taken(count)
            if not isinstance(top(), list):
                raise ValueError("it fills what is no list")
            top().extend(items)
        elif name == "BINPERSID" and persistent is not None:
            (place,) = taken(1)
            stack.append(persistent(place))
        elif name == "STOP":
            (result,) = taken(len(stack))
            return result
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds the instruction {name}")
    raise ValueError("it does not end")


def _text(value):
    if not isinstance(value, str):
        raise ValueError("a name is no text")
    return value


def _set_items(items, target):
    if not isinstance(target, dict):
        raise ValueError("it fills what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not int and not (
            isinstance(key, str) and len(key) <= _KEY_LENGTH
        ):
            raise ValueError("a key is no short text")
        target[key] = value


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
