"""Word vectors: every kind of file, what is kept of it, and bad ones."""

import numpy as np
import pytest

from keras_vas.data.text import word_vectors
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError

WORDS = ["the", ",", "The", "'s", "dog", "left-most", "cat", "dog", "runs"]
VECTORS = np.arange(27, dtype=np.float32).reshape(9, 3) / 8 - 1


def write_text(path, header=""):
    lines = [
        f"{word} {' '.join(str(x) for x in vector)}\n"
        for word, vector in zip(WORDS, VECTORS.tolist(), strict=True)
    ]
    path.write_text(header + "".join(lines))


def write_npz(path):
    np.savez(path, words=np.array(WORDS), vectors=VECTORS)


def write_binary(path, line_feed=b"\n"):
    with open(path, "wb") as file:
        file.write(b"9 3\n")
        for word, vector in zip(WORDS, VECTORS, strict=True):
            file.write(word.encode() + b" " + vector.tobytes() + line_feed)


WRITERS = {
    "glove.txt": write_text,
    "word2vec.txt": lambda path: write_text(path, header="9 3\n"),
    "archive.npz": write_npz,
    "word2vec.bin": write_binary,
    "packed.bin": lambda path: write_binary(path, line_feed=b""),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_vectors(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    vocabulary = Vocabulary(["cat", "emu", "dog"])
    vectors, missing = word_vectors.load(path, vocabulary, 3)
    expected = np.zeros((5, 3))
    expected[2], expected[4] = VECTORS[6], VECTORS[4]
    np.testing.assert_array_equal(vectors, expected.astype("float32"))
    assert missing == ["emu"]
    with pytest.raises(UserError, match="embedding_dim=3"):
        word_vectors.load(path, vocabulary, 50)


@pytest.mark.parametrize(
    ("top", "frequent"),
    [
        (0, []),
        (3, ["the", ",", "dog"]),
        (9, ["the", ",", "dog", "cat", "runs"]),
    ],
)
def test_cut_keeps_the_words_asked_for_and_the_first_possible_ones(
    tmp_path, monkeypatch, top, frequent
):
    # "The", "'s" and "left-most" cannot be words of a sentence.
    monkeypatch.setattr(word_vectors, "_CHUNK", 2)
    write_text(tmp_path / "glove.txt")
    vectors, found = word_vectors.cut(
        tmp_path / "glove.txt", ["runs", "emu"], top
    )
    assert found == frequent
    assert list(vectors) == [
        word
        for word in dict.fromkeys(WORDS)
        if word in frequent or word == "runs"
    ]
    for word, vector in vectors.items():
        np.testing.assert_array_equal(vector, VECTORS[WORDS.index(word)])


def test_a_text_word_may_hold_spaces(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("a 1 2\n. . . 3 4\ndog 5 6\n")
    vectors, _ = word_vectors.cut(path, ["dog", ". . ."])
    assert {w: v.tolist() for w, v in vectors.items()} == {
        ". . .": [3, 4],
        "dog": [5, 6],
    }


def test_saved_vectors_are_read_again(tmp_path):
    path = tmp_path / "folder" / "vectors.npz"
    vectors = {"ä": VECTORS[0], "dog": VECTORS[1]}
    word_vectors.save(path, vectors)
    again, _ = word_vectors.cut(path, vectors)
    assert list(again) == ["ä", "dog"]
    for word, vector in vectors.items():
        np.testing.assert_array_equal(again[word], vector)


def test_files_that_are_no_word_vectors_are_named(tmp_path):
    write_binary(tmp_path / "whole.bin")
    whole = (tmp_path / "whole.bin").read_bytes()
    contents = {
        "cut_number.bin": whole[:-3],
        "cut_word.bin": whole[:-14],
        "no_counts.bin": b"dog\n",
        "text.npz": b"dog 1 2 3\n",
        "truncated.npz": b"PK\x03\x04 and nothing more",
        "words.txt": b"dog one two\n",
        "short.txt": b"cat 1 2 3\ndog 1 2\n",
        "word_alone.txt": b"dog\n",
        "infinite.txt": b"dog 1 inf 3\n",
        "latin1.txt": b"d\xf6g 1 2 3\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is no whole file of word"):
            word_vectors.cut(tmp_path / name, ["dog", "runs"])
    np.savez(tmp_path / "other.npz", words=np.array(["dog"]))
    with pytest.raises(UserError, match="vectors"):
        word_vectors.cut(tmp_path / "other.npz", ["dog"])
    for missing, said in (
        (tmp_path / "none.txt", "there is no file of word vectors"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(UserError, match=said):
            word_vectors.cut(missing, ["dog"])
