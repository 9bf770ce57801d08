"""Follows a pickle without running anything in it.

A pickle is a program that may call whatever it names. Python's parser takes it
apart and nothing runs it: the few instructions that make dicts with short
texts or integers as keys, lists, tuples, texts and numbers are followed here,
every other is refused. What is built is bounded by the file's length, so that a
hostile file can do nothing but fail.
"""

import pickletools

from keras_vas.errors import UserError

LARGEST = 1 << 28  # bytes
_KEY_LENGTH = 200
_BYTES_PER_CONTAINER = 8  # at least, beyond the first thousand
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG"),
    *("BINFLOAT", "FLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
_MADE = {"EMPTY_DICT", "EMPTY_LIST", "DICT", "LIST", "TUPLE", *_TUPLES}


def read_plain(path):
    """Reads dicts, lists, texts and numbers from a pickle of any protocol.

    Args:
        path: `pathlib.Path`.

    Returns:
        What was pickled.

    Raises:
        UserError: the file is missing, larger than 256 MiB or damaged, or
            holds anything else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        return follow(path.read_bytes())
    except Exception as error:
        raise UserError(
            f"{path} is refused ({' '.join(str(error).split())[:200]}); it may "
            "hold lists, dicts, texts and numbers and nothing else. Get the "
            "file again"
        ) from error


def follow(
    data,
    *,
    steps=LARGEST,
    known=None,
    callables=(),
    fillable=(),
    persistent=None,
):
    """What a pickle builds.

    Args:
        data: bytes of the pickle.
        steps: int, the most instructions.
        known: dict from "module name" to what stands for it.
        callables: those of `known` that may be called.
        fillable: types with a method `set`, whose objects take a state.
        persistent: function of a persistent id to what stands for it, if the
            pickle may have such.

    Raises:
        Exception: of any kind, where it is damaged or asks for more.
    """
    stack, marks, memo = [], [], []
    known = known or {}
    room = 1000 + len(data) // _BYTES_PER_CONTAINER

    def taken(count):
        start = len(stack) - count
        if start < (marks[-1] if marks else 0):
            raise ValueError("it takes more than there is")
        items = tuple(stack[start:])
        del stack[start:]
        return items

    def marked():
        items = taken(len(stack) - marks[-1])
        marks.pop()
        return items

    def top():
        (item,) = taken(1)
        stack.append(item)
        return item

    for step, (opcode, value, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        room -= name in _MADE
        if step == steps or room < 0:
            raise ValueError("it takes more steps than a file of its kind")
        if name in _VALUES:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(taken(_TUPLES[name]))
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(marked())
        elif name == "LIST":
            stack.append(list(marked()))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("APPEND", "APPENDS"):
            items = taken(1) if name == "APPEND" else marked()
            if not isinstance(top(), list):
                raise ValueError("it extends what is no list")
            top().extend(items)
        elif name == "DICT":
            items = marked()
            stack.append({})
            _set_items(items, top())
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("SETITEM", "SETITEMS"):
            items = taken(2) if name == "SETITEM" else marked()
            _set_items(items, top())
        elif name in _PUTS:
            if not memo and value == 1:  # where Python 2 begins
                memo.append(None)
            if value not in (None, len(memo)):
                raise ValueError("it numbers its objects in an unknown way")
            memo.append(top())
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            wanted = value or "{!s} {!s}".format(*map(_text, taken(2)))
            if wanted not in known:
                raise ValueError(f"it asks for {wanted}")
            stack.append(known[wanted])
        elif name == "REDUCE":
            function, arguments = taken(2)
            if function not in callables:
                raise ValueError("it calls what is no function")
            stack.append(function(*arguments))
        elif name == "BUILD":
            (state,) = taken(1)
            if not isinstance(top(), tuple(fillable)):
                raise ValueError("it fills what is no array")
            top().set(*state)
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
