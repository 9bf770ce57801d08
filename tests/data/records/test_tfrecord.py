import io

import numpy as np
import pytest

from keras_vas.data.records import tfrecord


def bitwise_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc_has_its_published_check_value():
    assert tfrecord.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    "size", [0, 1, 2048, 8191, 8192, 8193, 10239, 10240, 50001]
)
def test_crc_equals_the_definition_bit_by_bit(size):
    data = np.random.default_rng(size).bytes(size)
    assert tfrecord.crc32c(data) == bitwise_crc32c(data)


def test_bytes_are_those_of_tensorflow(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    contents = [rng.bytes(size) for size in (0, 3, 9000, 600_001)]
    path = str(tmp_path / "theirs.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for data in contents:
            writer.write(data)
    ours = b"".join(tfrecord.frame(data) for data in contents)
    assert (tmp_path / "theirs.tfrecord").read_bytes() == ours
    offset, file = 0, io.BytesIO(ours)
    for data in contents:
        assert tfrecord.read(file, offset) == data
        offset += len(tfrecord.frame(data))
    assert tfrecord.read(file, offset) is None


@pytest.mark.parametrize("place", [0, 7, 9, 12, 5000, 9011, 9013])
def test_one_flipped_bit_is_found(place):
    damaged = bytearray(tfrecord.frame(bytes(9000)))
    damaged[place] ^= 4
    with pytest.raises(tfrecord.CorruptRecordError, match="checksum"):
        tfrecord.read(io.BytesIO(damaged), 0)


@pytest.mark.parametrize("size", [5, 12, 500, 1015])
def test_a_truncated_record_is_found(size):
    data = tfrecord.frame(bytes(1000))[:size]
    with pytest.raises(tfrecord.CorruptRecordError, match="ends within"):
        tfrecord.read(io.BytesIO(data), 0)
