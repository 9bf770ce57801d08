"""The lists of a data set's distribution."""

import os
import pathlib

import pytest

from keras_vas import errors
from keras_vas.data.records import source_files


def rows_of(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    return source_files.read_rows(path, "the videos")


def test_rows_come_with_their_lines(tmp_path):
    content = '\ufeffa,"b, c"\r\n\r\nd,say "hi"\r\n'.encode()
    assert rows_of(tmp_path, content) == [
        (1, ["a", "b, c"]),
        (3, ["d", 'say "hi"']),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'a,1\nb,"2\nc,3\nd,4\n', "list.csv.* is no CSV file at line"),
        (b'a,1\nb,"2\nc,3"\nd,4\n', "up to line 3: a quote is not closed"),
        (b'a,1\nb,"2\nc,"3\nd,4\n', "list.csv.* is no CSV file at line 3"),
        (b'a,1\r\nb,"2\rc,3"\n', "a quote is not closed"),
        (b"a,\xff\n", "is no UTF-8 text"),
        ("a,b\n".encode("utf-16"), "is no UTF-8 text"),
        (b"a" * 200_000 + b",b\n", "is no CSV file at line 1: field larger"),
    ],
)
def test_no_row_is_swallowed_silently(tmp_path, content, words):
    with pytest.raises(errors.UserError, match=words) as caught:
        rows_of(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    for path in (tmp_path / "list.csv", tmp_path / "missing", tmp_path):
        with pytest.raises(errors.UserError, match="there is no file"):
            source_files.read_rows(path, "the videos")


def test_the_last_column_of_a_table_is_text(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,text\na,one, two,three\nb\n\nc,\n")
    assert source_files.read_table(path, ["id", "text"], "x") == (
        [["a", "one, two,three"], ["c", ""]],
        ["list.csv:3"],
    )
    with pytest.raises(errors.UserError, match="with the line id,words"):
        source_files.read_table(path, ["id", "words"], "x")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        *(("a b", True), ("-x..y", True), ("...", True), ("é" * 127, True)),
        *(("", False), (".", False), ("..", False), ("/etc", False)),
        *(("a/b", False), ("a\0b", False), ("é" * 128, False)),
    ],
)
def test_names_of_files(name, right):
    assert source_files.is_file_name(name) == right


def test_numbers_of_frames():
    numbers = {
        "00011.h5": 11, "11.h5": 11, "1.png": 1, "0.png": None,
        "ten.h5": None, "1_1.h5": None, "-1.h5": None, "\u0661.h5": None,
        "\u00b2.h5": None, "99999999999999999999.h5": None, ".h5": None,
    }  # fmt: skip
    for name, number in numbers.items():
        found = source_files.frame_number(pathlib.Path("folder", name))
        assert found == number, name
