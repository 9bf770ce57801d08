"""The reader of MATLAB files, against SciPy and against bytes made by hand."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io

from keras_vas.data.records import mat_file

MOST = 2**20
DTYPES = "i1 u1 i2 u2 i4 u4 i8 u8 f4 f8".split()
KINDS = {"u1": (2, 9), "i2": (3, 10), "f8": (9, 6), "u4": (6, 13)}


def read(path, name="mask"):
    return mat_file.read_array(path.read_bytes(), name, MOST)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_what_scipy_writes(tmp_path, dtype, compressed):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.mat"
    compared = 0
    for shape in [(1, 1), (3, 1), (2, 5), (3, 4, 5), (0, 7), (2, 3, 4, 5)]:
        array = rng.integers(-128, 128, shape).astype(dtype)
        for given in (array, np.asfortranarray(array)):
            content = {"other": "text", "mask": given, "cell": [{"a": 1}]}
            scipy.io.savemat(path, content, do_compression=compressed)
            found = read(path)
            expected = scipy.io.loadmat(path)["mask"]
            assert found.dtype == expected.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(found, expected)
            compared += 1
    assert compared == 12
    assert read(path, "nothing") is None


def element(order, kind, content):
    head = struct.pack(f"{order}II", kind, len(content))
    return head + content + bytes(-len(content) % 8)


def small(order, kind, content):
    word = struct.pack(f"{order}I", len(content) << 16 | kind)
    return word + content.ljust(4, b"\0")


def variable(order, flags, shape, name, stored):
    return element(
        order,
        14,
        element(order, 6, struct.pack(f"{order}II", flags, 0))
        + element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
        + (small if len(name) <= 4 else element)(order, 1, name)
        + stored,
    )


def file_of(order, *variables, version=0x0100):
    ending = {"<": b"IM", ">": b"MI"}[order]
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", version)
    return head + ending + b"".join(variables)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", KINDS)
def test_reads_both_byte_orders(dtype, order, compressed):
    array = np.arange(-4, 20).astype(dtype).reshape(2, 3, 4)
    stored, matlab = KINDS[dtype]
    numbers = array.astype(f"{order}{dtype}").tobytes(order="F")
    content = variable(
        order, matlab, (2, 3, 4), b"mask", element(order, stored, numbers)
    )
    if compressed:
        packed = zlib.compress(content)
        content = struct.pack(f"{order}II", 15, len(packed)) + packed
    data = file_of(order, content, content)
    found = mat_file.read_array(data, "mask", MOST)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("order", "<>")
def test_reads_doubles_that_are_stored_as_bytes(order):
    numbers = small(order, 2, bytes([7, 0, 255]))
    content = variable(order, 6, (1, 3), b"part_mask", numbers)
    found = mat_file.read_array(file_of(order, content), "part_mask", MOST)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[7, 0, 255]])


def test_passes_over_what_it_cannot_read():
    opaque = element(
        "<",
        14,
        element("<", 6, struct.pack("<II", 17, 0)) + element("<", 1, b"x" * 9),
    )
    wanted = variable("<", 9, (1, 1), b"m", small("<", 2, b"\5"))
    found = mat_file.read_array(file_of("<", opaque, wanted), "m", MOST)
    np.testing.assert_array_equal(found, [[5]])


BYTES = element("<", 2, bytes(6))


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "no byte order": bytes(200),
        "version 7.3": file_of("<", version=0x0200),
        "a text": file_of("<", variable("<", 4, (2, 3), b"m", BYTES)),
        "a struct": file_of("<", variable("<", 2, (2, 3), b"m", BYTES)),
        "complex": file_of("<", variable("<", 0x0809, (2, 3), b"m", BYTES)),
        "other shape": file_of("<", variable("<", 9, (2, 4), b"m", BYTES)),
        "negative": file_of("<", variable("<", 9, (-2, -3), b"m", BYTES)),
        "too large": file_of("<", variable("<", 9, (2**11, 513), b"m", BYTES)),
        "huge": file_of("<", variable("<", 9, (2**30,) * 9, b"m", BYTES)),
        "cut": file_of("<", variable("<", 9, (2, 3), b"m", BYTES)[:-9]),
        "a smaller class": file_of(
            "<", variable("<", 9, (1, 1), b"m", element("<", 9, bytes(8)))
        ),
        "long small": file_of("<", struct.pack("<I", 5 << 16 | 14) + bytes(9)),
    }.items(),
    ids=lambda item: item[0],
)
def test_refuses(data):
    with pytest.raises((mat_file.FormatError, TypeError, ValueError)):
        mat_file.read_array(data[1], "m", MOST)


@pytest.mark.parametrize("declared", ["more", "its own"])
def test_unpacks_no_more_than_the_shape_needs(declared):
    content = variable("<", 9, (2, 3), b"m", BYTES)
    bomb = content + bytes(2**26)
    if declared == "its own":
        bomb = struct.pack("<II", 14, len(bomb) - 8) + bomb[8:]
    packed = zlib.compress(bomb)
    data = file_of("<", struct.pack("<II", 15, len(packed)) + packed)
    tracemalloc.start()
    try:
        with pytest.raises(mat_file.FormatError):
            mat_file.read_array(data, "m", MOST)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_reads_the_real_masks(shared_dir):
    paths = sorted(shared_dir.glob("data/**/puppet_mask.mat"))
    assert paths
    for path in paths:
        found = mat_file.read_array(path.read_bytes(), "part_mask", 2**28)
        expected = scipy.io.loadmat(path)["part_mask"]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
