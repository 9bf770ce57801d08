"""Pickles are programs; arrays are read out of them and nothing runs."""

import functools
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.weights import pickled_arrays


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_every_protocol_are_read(protocol):
    rng = np.random.default_rng(0)
    tree = {
        "a": {"b": rng.normal(size=(2, 3)), "c/d": np.arange(4, dtype="u1")},
        "e": np.asfortranarray(rng.normal(size=(4, 5)).astype(">f4")),
        "f": np.array([True, False]),
    }
    found = pickled_arrays.read(pickle.dumps(tree, protocol), "a file")
    assert list(found) == ["a|b", "a|c/d", "e", "f"]
    np.testing.assert_array_equal(found["a|b"], tree["a"]["b"])
    np.testing.assert_array_equal(found["a|c/d"], tree["a"]["c/d"])
    np.testing.assert_array_equal(found["e"], tree["e"])
    np.testing.assert_array_equal(found["f"], tree["f"])


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Call(mark.touch),
        lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Call(exec, f"open({str(mark)!r}, 'w')"),
        lambda mark: Call(open, str(mark), "w"),
        lambda mark: Call(np.save, str(mark), 1),
        lambda mark: Call(np.memmap, str(mark), "u1", "w+", 0, (4,)),
        lambda mark: Call(getattr, "text", "join"),
        lambda mark: functools.partial(print),
        lambda mark: {"a": np.array([{}], dtype=object)},
        lambda mark: {"a": np.zeros(2, dtype=[("x", "f4")])},
        lambda mark: {"a": np.float32(1)},
        lambda mark: {1: np.zeros(2)},
        lambda mark: ["text"],
        lambda mark: np.dtype("f4"),
    ],
)
def test_hostile_or_foreign_pickles_are_refused(make, tmp_path):
    mark = tmp_path / "mark"
    data = pickle.dumps(make(mark))
    with pytest.raises(UserError, match="a file is refused"):
        pickled_arrays.read(data, "a file")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\n(S'exit 1'\ntR.",
        b"cbuiltins\n__import__\n(S'os'\ntR.",
        b"cnumpy\ntesting.rundocs\n(tR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile_\x93.",
        b"cnumpy\ndtype\n}S'__call__'\ncnumpy\nndarray\nsb.",
        b"cnumpy\nndarray\n(I1000000000000000\ntR.",
        b"Pid\n.",
        b"\x80\x04\x95",
        b"",
        b"no pickle at all",
    ],
)
def test_hand_written_pickles_are_refused(data):
    with pytest.raises(UserError, match="a file is refused"):
        pickled_arrays.read(data, "a file")
    # the reader itself is as it was
    tree = {"a": np.arange(3)}
    found = pickled_arrays.read(pickle.dumps(tree), "a file")
    np.testing.assert_array_equal(found["a"], tree["a"])


def test_cut_pickles_are_refused():
    data = pickle.dumps({"a": np.arange(100), "b": {"c": np.ones((3, 3))}})
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(UserError, match="a file is refused"):
            pickled_arrays.read(data[:length], "a file")


def proto(body):
    return b"\x80\x04" + body + b"."


def with_key(value):
    return proto(b"}\x8c\x01a" + value + b"s")


ARRAY = b"\x8c\x05numpy\x8c\x07ndarray\x93"
RECONSTRUCT = b"\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93"
BEGIN = RECONSTRUCT + ARRAY + b"K\x00\x85C\x01b\x87R"
FLOATS = b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02f4\x89\x88\x87R"


def filled(shape, data, dtype=FLOATS):
    """An array that NumPy begins empty and fills with a state."""
    state = b"(K\x01" + shape + dtype + b"\x89" + data + b"t"
    return BEGIN + state + b"b"


def test_hand_written_array_is_read():
    data = with_key(filled(b"K\x02\x85", b"C\x08" + struct.pack("<2f", 1, 2)))
    found = pickled_arrays.read(data, "a file")
    np.testing.assert_array_equal(found["a"], np.float32([1, 2]))


def test_dicts_that_are_in_many_places_are_read():
    assert pickled_arrays.read(tree(12, 2), "a file") == {}


def bytes8(length):
    return b"\x96" + struct.pack("<Q", length)


def tree(depth, width):
    """Dicts that hold the next one `width` times: width^depth of them."""

    def body(level):
        if level == depth:
            return b"}\x94"
        again = b"".join(
            b"\x8c\x01" + bytes([65 + key, ord("h"), level + 1]) + b"s"
            for key in range(1, width)
        )
        return b"}\x94\x8c\x01A" + body(level + 1) + b"s" + again

    return proto(body(0))


def tuples(depth):
    """A key, a tuple of tuples, whose hash takes 2^depth steps."""
    body = b"})"
    for number in range(depth):
        body += b"\x94h" + bytes([number]) + b"\x86"
    return proto(body + b"Ns")


def own_dict():
    return proto(b"}\x94\x8c\x01ah\x00s")


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("80027d7200ca9a3b2e"),  # memo entry 1,000,000,000
        with_key(ARRAY + b"K\x05\x85\x85R"),  # ndarray((5,)), not filled
        with_key(ARRAY + b"\x8a\x05\x00\xd0\xed\x90\x2e\x85\x85R"),
        with_key(BEGIN),
        with_key(filled(b"K\x05\x85", b"C\x04....")),
        with_key(filled(b"J\xff\xff\xff\xff\x85", b"C\x04....")),
        with_key(filled(b"\x8a\x05\x00\x00\x00\x00\x01\x85", b"C\x04....")),
        with_key(filled(b"K\x01\x85", b"N")),
        with_key(filled(b"K\x01\x85", b"C\x04....", b"\x8c\x02f4")),
        with_key(FLOATS),
        with_key(FLOATS.replace(b"f4", b"O8")),
        with_key(bytes8(1 << 40)),
        with_key(b"\x8b" + struct.pack("<i", (1 << 31) - 1)),
        proto(b"}" * 200_000),
        proto(b"N" * 200_000),
        tree(20, 1),
        tree(10, 20),
        tuples(60),
        own_dict(),
        proto(b"(" * 50_000),
        proto(b"}("),
    ],
)
def test_little_memory_and_time_for_any_pickle(data):
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(UserError, match="a file is refused"):
            pickled_arrays.read(data, "a file")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert time.process_time() - start < 30


def test_flipped_pickles_are_read_or_refused():
    arrays = {"a": np.ones((2, 3)), "b": {"c": np.arange(4, dtype="f4")}}
    rng = np.random.default_rng(0)
    refused = []
    for trial in range(1000):
        data = bytearray(pickle.dumps(arrays, 3 + trial % 3))
        for place in rng.integers(0, len(data), 1 + trial % 4):
            data[place] = rng.integers(256)
        try:
            found = pickled_arrays.read(bytes(data), "a file")
        except UserError as error:
            refused.append(str(error))
        else:
            assert all(isinstance(x, np.ndarray) for x in found.values())
    assert len(refused) >= 300
    assert "\n" not in "".join(refused)
