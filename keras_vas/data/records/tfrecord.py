"""TFRecord files, framed and checked without TensorFlow.

A record in the file is: its length (8 bytes, little endian), the masked
CRC-32C of these, the data, the masked CRC-32C of the data.
"""

import os
import struct

import google_crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4


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
    end = file.seek(0, os.SEEK_END)
    file.seek(offset)
    header = file.read(HEADER_BYTES)
    if not header:
        return None
    if len(header) < HEADER_BYTES:
        raise CorruptRecordError("the file ends within the record")
    if header[8:] != _masked_crc(header[:8]):
        raise CorruptRecordError("the length's checksum is wrong")
    (length,) = struct.unpack("<Q", header[:8])
    if offset + HEADER_BYTES + length + FOOTER_BYTES > end:
        raise CorruptRecordError("the file ends within the record")
    data = file.read(length)
    footer = file.read(FOOTER_BYTES)
    if footer != _masked_crc(data):
        raise CorruptRecordError("the data's checksum is wrong")
    return data


def _masked_crc(data):
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)
