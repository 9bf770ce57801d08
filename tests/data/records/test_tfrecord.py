import io
import struct

import numpy as np
import pytest

from keras_vas.data.records import tfrecord


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


@pytest.mark.parametrize("length", [1001, 2**40, 2**64 - 1])
def test_a_length_with_its_checksum_is_not_believed(length):
    claimed = struct.pack("<Q", length)
    # The checksum of a record's data is masked as that of its length is.
    header = claimed + tfrecord.frame(claimed)[-tfrecord.FOOTER_BYTES :]
    data = header + tfrecord.frame(bytes(1000))[tfrecord.HEADER_BYTES :]
    with pytest.raises(tfrecord.CorruptRecordError, match="ends within"):
        tfrecord.read(io.BytesIO(data), 0)


@pytest.mark.parametrize("size", [5, 12, 500, 1015])
def test_a_truncated_record_is_found(size):
    data = tfrecord.frame(bytes(1000))[:size]
    with pytest.raises(tfrecord.CorruptRecordError, match="ends within"):
        tfrecord.read(io.BytesIO(data), 0)
