"""Pickles of plain data are read and nothing runs."""

import pickle
import struct
import tracemalloc

import pytest

from keras_vas.data import pickles
from keras_vas.errors import UserError

TREE = [
    {"id": 5, "large": 2**40, "sent": "the dog", "tokens": ["the", "dog"]},
    {"share": 0.5, "nothing": None, "yes": True, "pair": (1, 2), "sent": "ü"},
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "a.p"
    path.write_bytes(pickle.dumps(TREE, protocol))
    assert pickles.read_plain(path) == TREE


@pytest.mark.parametrize(
    "data",
    [
        b"(lp1\n(dp2\nS'split'\np3\nS'train'\np4\nsS'id'\np5\nI7\nsa.",
        b"(lp1\n(dp2\nVsplit\np3\nVtrain\np4\nsVid\np5\nL7L\nsa.",
        b"\x80\x02]q\x01}q\x02(U\x05splitq\x03U\x05trainU\x02idK\x07ua.",
    ],
)
def test_pickles_of_python_2(tmp_path, data):
    path = tmp_path / "a.p"
    path.write_bytes(data)
    assert pickles.read_plain(path) == [{"split": "train", "id": 7}]


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'exit 1'\ntR.",
        b"(S'exit 1'\nios\nsystem\n.",
        b"(cos\nsystem\nS'exit 1'\no.",
        b"Pid\n.",
        b"\x80\x02]}b.",
        b"\x80\x02NNR.",
        b"\x80\x02}]Ns.",
        b"\x80\x02Na.",
        b"\x80\x02]",
        b"\x80\x02](",
        b"\x80\x02]r\x00\xca\x9a\x3b.",
        b"\x80\x02" + b"]" * 50_000 + b".",
        b"\x80\x02" + b"2" * 9 + b".",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40),
        b"I" + b"9" * 10_000 + b"\n.",
        b"",
    ],
)
def test_programs_and_damage_are_refused(tmp_path, data):
    path = tmp_path / "a.p"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="is refused") as raised:
            pickles.read_plain(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert peak < 20e6


def test_a_list_in_itself_is_read():
    found = pickles.follow(b"\x80\x02]q\x00h\x00a.")
    assert found[0] is found


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="nothing"):
        pickles.read_plain(tmp_path / "nothing.p")
