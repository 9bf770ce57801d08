"""TFRecord files, framed and checked without TensorFlow.

A record in the file is: its length (8 bytes, little endian), the masked
CRC-32C of these, the data, the masked CRC-32C of the data.
"""

import functools
import struct

import numpy as np

HEADER_BYTES = 12
FOOTER_BYTES = 4
_POLYNOMIAL = 0x82F63B78
_LANES = 2048
_SMALL = 4 * _LANES


class CorruptRecordError(Exception):
    """The bytes of a record do not agree with their checksum."""


def frame(data):
    """Returns `data` (bytes) as it stands in a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def read(file, offset):
    """Reads and checks one record.

    Args:
        file: binary file object that can seek.
        offset: of the record's frame, in bytes.

    Returns:
        `bytes` of the record, or None at the end of the file.

    Raises:
        CorruptRecordError: what is wrong with the bytes there.
    """
    file.seek(offset)
    header = file.read(HEADER_BYTES)
    if not header:
        return None
    if len(header) < HEADER_BYTES:
        raise CorruptRecordError("the file ends within the record")
    if header[8:] != _masked_crc(header[:8]):
        raise CorruptRecordError("the length's checksum is wrong")
    (length,) = struct.unpack("<Q", header[:8])
    data = file.read(length)
    footer = file.read(FOOTER_BYTES)
    if len(data) < length or len(footer) < FOOTER_BYTES:
        raise CorruptRecordError("the file ends within the record")
    if footer != _masked_crc(data):
        raise CorruptRecordError("the data's checksum is wrong")
    return data


def crc32c(data):
    """CRC-32C (Castagnoli) of `bytes`, as an int.

    The data is cut into equal lanes whose checksums advance together in
    NumPy; since the CRC is linear, shifting one lane's checksum over the
    zeros that stand for the lanes behind it lets them be combined by XOR.
    """
    lane_bytes = len(data) // _LANES
    if len(data) < _SMALL:
        return _scalar_crc(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    head = len(data) - lane_bytes * _LANES
    start = _scalar_crc(data[:head], 0xFFFFFFFF)
    lanes = np.frombuffer(data, np.uint8, offset=head)
    # One row a byte position, so that each step reads contiguous memory.
    lanes = np.ascontiguousarray(lanes.reshape(_LANES, lane_bytes).T)
    table = _table()
    crc = np.zeros(_LANES, np.uint32)
    crc[0] = start
    for column in lanes:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    shift = _shift_matrix(lane_bytes)
    while len(crc) > 1:
        crc = _apply(shift, crc[0::2]) ^ crc[1::2]
        shift = _apply(shift, shift)
    return int(crc[0]) ^ 0xFFFFFFFF


def _masked_crc(data):
    crc = crc32c(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


def _scalar_crc(data, crc):
    table = _table_list()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


@functools.cache
def _table():
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc.astype(np.uint32)


@functools.cache
def _table_list():
    return _table().tolist()


@functools.lru_cache(maxsize=4096)
def _shift_matrix(num_bytes):
    """GF(2) matrix (32 columns as uint32) that appends zero bytes to a CRC."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    one_byte = result.copy()
    for _ in range(8):
        one_byte = np.where(
            one_byte & 1,
            (one_byte >> 1) ^ np.uint32(_POLYNOMIAL),
            one_byte >> 1,
        ).astype(np.uint32)
    power = one_byte
    while num_bytes:
        if num_bytes & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        num_bytes >>= 1
    return result


def _apply(matrix, vectors):
    """Multiplies a GF(2) matrix with every uint32 of an array."""
    product = np.zeros_like(vectors)
    for bit in range(32):
        chosen = (vectors >> np.uint32(bit)) & np.uint32(1)
        product ^= matrix[bit] * chosen
    return product
