"""Tests of `keras_vas.data.text.vocabulary`."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from keras_vas.data.text import vocabulary as vocabulary_lib
from keras_vas.data.text.vocabulary import (
    Vocabulary,
    sentence_warnings,
    tokenize,
    warnings_for,
)
from keras_vas.errors import UserError


def words_of(text):
    return [word.decode() for word in tokenize(text).numpy().tolist()]


def in_dataset(function, value):
    """Applies a function of one tensor within tf.data."""
    dataset = tf.data.Dataset.from_tensors(value).map(function)
    return next(iter(dataset)).numpy()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Dog, running.", ["the", "dog", ",", "running", "."]),
        ("man's left-most hat", ["man", "'", "s", "left", "-", "most", "hat"]),
        ("  two\t spaces\n", ["two", "spaces"]),
        ("ÄPFEL Über", ["äpfel", "über"]),
        ("чёрный Жёлтый", ["чёрный", "жёлтый"]),
        ("猫が 走る。", ["猫が", "走る", "。"]),
        ("«dog» — 3$", ["«", "dog", "»", "—", "3", "$"]),
        ("", []),
        (" \u3000 ", []),
    ],
)
def test_tokenize(text, words):
    assert words_of(text) == words
    assert in_dataset(tokenize, text).tolist() == [w.encode() for w in words]


def test_tokenize_bytes_that_are_not_utf8():
    words = tokenize(tf.constant(b"a\xff\xfeb\x00c")).numpy().tolist()
    assert words == [b"a", b"b", b"c"]


def test_build_orders_by_frequency_then_alphabet_and_adds_mirror_words():
    vocabulary = Vocabulary.build(["b a a", "leftmost b a", "zebra left"])
    assert vocabulary.words == (
        *("a", "b", "left", "leftmost", "zebra"),
        *("right", "rightmost"),
    )
    assert len(vocabulary) == 2 + 7


def test_encode_pads_cuts_and_knows_unknown_words():
    vocabulary = Vocabulary(["dog", "red", "runs"])
    texts = ["Red dog runs", "cat runs", "", "dog " * 500, "猫"]
    expected = np.zeros((5, 20), np.int32)
    expected[0, :3] = [3, 2, 4]
    expected[1, :2] = [1, 4]
    expected[2, 0] = 1
    expected[3] = 2
    expected[4, 0] = 1
    encoded = vocabulary.encode(tf.constant(texts))
    assert encoded.dtype == tf.int32
    np.testing.assert_array_equal(encoded, expected)
    np.testing.assert_array_equal(
        in_dataset(vocabulary.encode, texts), expected
    )


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3)])
def test_encode_keeps_the_shape_of_its_input(shape):
    vocabulary = Vocabulary(["dog"])
    texts = tf.fill(shape, "a dog")
    encoded = tf.function(vocabulary.encode)(texts)
    assert encoded.shape == (*shape, 20)
    assert np.all(encoded.numpy()[..., :3] == [1, 2, 0])


def test_encoded_model_survives_export(tmp_path):
    module = tf.Module()
    vocabulary = Vocabulary(["dog", "red"])
    module.table = vocabulary.table
    module.encode = tf.function(
        vocabulary.encode, [tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    encoded = loaded.encode(tf.constant(["red dog"]))
    np.testing.assert_array_equal(encoded[0, :3], [3, 2, 0])


def test_mirror_swaps_whole_words_only():
    text = "left bright right leftmost rightwards leftward"
    vocabulary = Vocabulary.build([text])
    mirrored = "right bright left rightmost leftwards rightward"
    tokens = vocabulary.encode(text)
    expected = vocabulary.encode(mirrored)
    np.testing.assert_array_equal(vocabulary.mirror(tokens), expected)
    np.testing.assert_array_equal(
        in_dataset(vocabulary.mirror, tokens), expected
    )
    np.testing.assert_array_equal(
        vocabulary.mirror(vocabulary.mirror(tokens)), tokens
    )


def test_mirror_without_the_opposite_word_is_unknown_rather_than_false():
    vocabulary = Vocabulary(["dog", "left"])
    mirrored = vocabulary.mirror(tf.constant([2, 3, 1, 0]))
    np.testing.assert_array_equal(mirrored, [2, 1, 1, 0])


def test_names_position():
    texts = ["dog on the left", "dog at the top", "a bright dog", ""]
    vocabulary = Vocabulary.build(texts)
    tokens = vocabulary.encode(texts)
    np.testing.assert_array_equal(
        vocabulary.names_position(tokens), [True, True, False, False]
    )
    nowhere = Vocabulary(["dog"])
    assert not nowhere.names_position(nowhere.encode("left dog"))


def test_save_and_load(tmp_path):
    path = tmp_path / "vocabulary.txt"
    vocabulary = Vocabulary.build(["the red dog , über 猫"])
    vocabulary.save(path)
    assert path.read_text(encoding="utf-8").split("\n")[:-1] == list(
        vocabulary.words
    )
    assert Vocabulary.load(path).words == vocabulary.words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no vocabulary"),
        (b"", "empty"),
        (b"dog\ncat\ndog\n", "dog"),
        (b"dog\n\ncat\n", "one word a line"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_load_names_a_bad_file(tmp_path, content, message):
    path = tmp_path / "vocabulary.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_words_are_rejected():
    with pytest.raises(ValueError, match="Received twice: 'dog'"):
        Vocabulary(["dog", "dog"])
    with pytest.raises(ValueError, match="white space"):
        Vocabulary(["two words"])
    with pytest.raises(ValueError, match="must hold words"):
        Vocabulary.build(["", " "])


def test_warnings():
    vocabulary = Vocabulary(["dog", "red"])
    assert warnings_for("Red dog", vocabulary) == []
    assert warnings_for("dog " * 20, vocabulary) == []
    (empty,) = warnings_for(" \n ", vocabulary)
    assert "empty" in empty
    (long,) = warnings_for("dog " * 500, vocabulary)
    assert "500 words" in long
    assert "first 20" in long
    (unknown,) = warnings_for("red 猫 dog кот 猫", vocabulary)
    assert unknown.endswith(": 猫, кот")
    many = [f"w{number}" for number in range(30)]
    cut, listed = warnings_for(" ".join(many), vocabulary)
    assert "30 words" in cut
    assert listed.endswith(", ".join(many[:10]) + " and 10 more")
    assert "\n" not in listed


def test_sentences_of_a2d(shared_dir):
    path = shared_dir / "text" / "a2d_annotation.txt"
    with open(path, newline="", encoding="utf-8") as file:
        texts = [row["query"] for row in csv.DictReader(file)]
    assert len(texts) == 6655
    tokens = tokenize(tf.constant(texts))
    assert int(tf.reduce_max(tokens.row_lengths())) == 20
    vocabulary = Vocabulary.build(texts)
    assert sum(word.isalnum() for word in vocabulary.words) == 1310
    encoded = vocabulary.encode(texts)
    assert not np.any(encoded == vocabulary_lib.UNKNOWN_ID)
    changed = np.any(encoded != vocabulary.mirror(encoded), axis=1)
    sides = [
        bool({"left", "right", "leftmost", "rightmost"} & set(words))
        for words in (text.lower().split() for text in texts)
    ]
    # Plain splitting misses a side word that touches punctuation.
    assert np.all(changed[np.array(sides)])
    assert changed.sum() == 995


def test_many_sentences_are_warned_of_in_a_few_lines():
    vocabulary = Vocabulary(["dog", "red"])
    assert sentence_warnings([], vocabulary) == []
    assert sentence_warnings(["red dog", "dog"], vocabulary) == []
    texts = ["red dog", "", "dog " * 500, "кот", "кот", "red cat"]
    lines = sentence_warnings(texts, vocabulary, shown=3)
    assert len(lines) == 4
    assert "empty" in lines[0]
    assert "500 words" in lines[1]
    assert "кот" in lines[2]
    assert lines[3] == "warning: 1 more like these"
