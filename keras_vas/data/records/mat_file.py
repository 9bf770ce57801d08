"""Arrays of numbers from MATLAB files of version 5.

The format is that of MathWorks' "MAT-File Format", chapter 1. Every size is
held against the bytes that are there, and nothing is unpacked beyond what an
array's shape needs.
"""

import math
import struct
import zlib

import numpy as np

_HEADER_BYTES = 128
_VERSION = 0x0100
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4",
    7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2",
    12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_OPAQUE = 17
_COMPLEX = 0x0800
_BEGINNING = 2**16


class FormatError(Exception):
    """The bytes are no such file, or the variable is no array of numbers."""


def read_array(data, name, most_bytes):
    """Finds a variable of numbers by its name.

    Variables of other names, whatever they are, are passed over.

    Args:
        data: bytes of the file.
        name: str.
        most_bytes: int, how large the array may be.

    Returns:
        Array of the type that the variable has in MATLAB (uint8 where it is
        logical), or `None` if there is no such variable.

    Raises:
        FormatError: the file is damaged, of another version, or the variable
            is complex, no array of numbers, or larger than `most_bytes`.
        struct.error, zlib.error, TypeError, ValueError: it is damaged.
    """
    _require(len(data) >= _HEADER_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER_BYTES])
    _require(order)
    (version,) = struct.unpack_from(f"{order}H", data, 124)
    _require(version == _VERSION)
    data, at = memoryview(data), _HEADER_BYTES
    while at < len(data):
        kind, content, at = _element(data, at, order)
        body = content
        if kind == _COMPRESSED:
            kind, size, body = _beginning(content, order)
        _require(kind == _MATRIX)
        flags, shape, found, start = _description(body, order)
        if found != name.encode():
            continue
        dtype = _CLASSES.get(flags & 0xFF)
        _require(dtype and not flags & _COMPLEX and min(shape) >= 0)
        count = math.prod(shape)
        _require(count * np.dtype(dtype).itemsize <= most_bytes)
        if body is not content:
            _require(size <= start + 16 + 8 * count)
            body = _unpacked(content, size)
        return _numbers(body, start, order, shape, dtype)
    return None


def _require(condition):
    if not condition:
        raise FormatError


def _element(data, at, order):
    """Kind and content of the element at a place, and the next one's place."""
    kind, size = struct.unpack_from(f"{order}II", data, at)
    start = at + 8
    if kind >> 16:  # the small form: size, kind and content in 8 bytes
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        _require(size <= 4)
    end = start + size
    _require(end <= len(data))
    following = end if kind == _COMPRESSED else end + -end % 8
    return kind, data[start:end], following


def _beginning(packed, order):
    """Kind and size of a compressed element, and the first of its content."""
    first = zlib.decompressobj().decompress(packed, _BEGINNING)
    kind, size = struct.unpack_from(f"{order}II", first)
    return kind, size, memoryview(first)[8:]


def _unpacked(packed, size):
    reader = zlib.decompressobj()
    whole = reader.decompress(packed, size + 9)
    _require(reader.eof and len(whole) == size + 8)
    return memoryview(whole)[8:]


def _description(body, order):
    """Flags, shape and name of a variable, and the place of its numbers."""
    kind, content, at = _element(body, 0, order)
    _require(kind == _UINT32 and len(content) == 8)
    (flags, _) = struct.unpack(f"{order}II", content)
    if flags & 0xFF == _OPAQUE:
        return flags, (), None, at  # it goes on in another way
    kind, content, at = _element(body, at, order)
    _require(kind == _INT32 and len(content) >= 8)
    shape = struct.unpack(f"{order}{len(content) // 4}i", content)
    kind, content, at = _element(body, at, order)
    _require(kind == _INT8)
    return flags, shape, bytes(content), at


def _numbers(body, start, order, shape, dtype):
    # MATLAB stores numbers in the smallest type that holds them.
    kind, content, _ = _element(body, start, order)
    _require(kind in _STORED)
    numbers = np.frombuffer(content, order + _STORED[kind])
    numbers = numbers.reshape(shape, order="F")
    return numbers.astype(dtype, casting="same_kind", copy=False)
