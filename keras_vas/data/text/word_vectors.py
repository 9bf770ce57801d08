"""Word vectors from a file, such as GloVe: read, looked up, cut to size.

Three kinds of file, told apart by the suffix:

    .npz    `words` (n,) and `vectors` (n, dimension)
    .bin    word2vec's binary form
    other   text, a word and its numbers on each line (GloVe), with or without
            a first line of two counts (word2vec, fastText)
"""

import contextlib
import itertools
import os
import pathlib

import numpy as np

from keras_vas import files, packed_files
from keras_vas.data.text.vocabulary import FIRST_WORD_ID, tokenize
from keras_vas.errors import UserError

_ADVICE = (
    "give a GloVe text file, an .npz with words and vectors, or word2vec's .bin"
)
_CHUNK = 8192


def load(path, vocabulary, dimension):
    """Reads the vectors of the words of a vocabulary.

    Args:
        path: file of word vectors.
        vocabulary: `Vocabulary`.
        dimension: int, length of a vector.

    Returns:
        `(vectors, missing)`: float32 array (len(vocabulary), dimension),
        zeros for padding, the unknown word and words that the file does not
        hold; and the list of these words.

    Raises:
        UserError: the file is missing, is something else, or holds vectors
            of another length.
    """
    found, _ = cut(path, vocabulary.words, dimension=dimension)
    vectors = np.zeros((len(vocabulary), dimension), np.float32)
    for number, word in enumerate(vocabulary.words, FIRST_WORD_ID):
        if word in found:
            vectors[number] = found[word]
    return vectors, [word for word in vocabulary.words if word not in found]


def cut(path, words, top=0, dimension=None):
    """Reads the vectors of some words and of a file's most frequent ones.

    One pass, in memory of what is kept. Of a word that the file holds twice
    the first vector counts.

    Args:
        path: file of word vectors, the most frequent words first, as such
            files are.
        words: iterable of str.
        top: int, also keep the first `top` words that can occur in a
            sentence: lower-case, and one word to `vocabulary.tokenize`.
        dimension: int, the length that vectors must have, or `None`.

    Returns:
        `(vectors, frequent)`: dict from word to float32 array (dimension,),
        and the list of the `top` words, both in the file's order.

    Raises:
        UserError: the file is missing, is something else, or holds vectors
            of another length.
    """
    wanted = set(words)
    found, frequent = {}, []
    with (
        packed_files.reading(path, "file of word vectors", _ADVICE),
        contextlib.closing(_rows(pathlib.Path(path))) as rows,
    ):
        while chunk := list(itertools.islice(rows, _CHUNK)):
            if len(frequent) < top:
                missing = top - len(frequent)
                frequent += _sentence_words(chunk, found)[:missing]
                wanted.update(frequent)
            for word, row in chunk:
                _check_length(path, len(row), dimension)
                if word in wanted and word not in found:
                    found[word] = _vector(word, row)
    return found, frequent


def save(path, vectors):
    """Writes an `.npz` file that `load` and `cut` read.

    Args:
        path: file to write; it is whole or not there.
        vectors: dict from word to float32 array (dimension,), not empty.
    """
    with files.atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(
                file,
                words=np.array(list(vectors), np.str_),
                vectors=np.stack(list(vectors.values())),
            )


def _rows(path):
    """Yields (word, numbers); in text the numbers are still text."""
    if path.suffix == ".npz":
        return _npz_rows(path)
    return _binary_rows(path) if path.suffix == ".bin" else _text_rows(path)


def _npz_rows(path):
    words, vectors = packed_files.read_npz(path, ["words", "vectors"]).values()
    if vectors.ndim != 2:
        raise ValueError(f"its vectors have the shape {vectors.shape}")
    yield from zip(map(str, words), vectors, strict=True)


def _text_rows(path):
    dimension = None
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            parts = line.rstrip().split(" ")
            if number == 1 and [p.isdigit() for p in parts] == [True, True]:
                continue  # the counts of words and numbers
            dimension = dimension or len(parts) - 1
            if dimension < 1 or len(parts) <= dimension:
                raise ValueError(
                    f"line {number} has no word and {max(dimension, 1)} numbers"
                )
            # A few words of some files hold spaces.
            yield " ".join(parts[:-dimension]), parts[-dimension:]


def _binary_rows(path):
    with open(path, "rb") as file:
        count, dimension = (int(number) for number in file.readline().split())
        if 4 * count * dimension > os.path.getsize(path):
            raise EOFError(f"it is too short for {count:,} vectors")
        for _ in range(count):
            word = bytearray()
            while (letter := file.read(1)) != b" ":
                if not letter:
                    raise EOFError(f"it ends before {count} vectors")
                word += letter
            data = file.read(4 * dimension)
            if len(data) < 4 * dimension:
                raise EOFError(f"it ends before {count} vectors")
            yield (
                word.decode("utf-8", "replace").lstrip("\n"),
                np.frombuffer(data, "<f4"),
            )


def _sentence_words(rows, found):
    """The words of `rows`, not in `found`, that a sentence can hold."""
    words = list(dict.fromkeys(w for w, _ in rows if w not in found))
    tokens = tokenize(words).to_list()
    return [
        word
        for word, token in zip(words, tokens, strict=True)
        if token == [word.encode()]
    ]


def _check_length(path, length, dimension):
    if dimension is not None and length != dimension:
        raise UserError(
            f"{path} holds vectors of {length} numbers; give "
            f"--embedding_dim={length} (now {dimension})"
        )


def _vector(word, row):
    vector = np.asarray(row, np.float32)
    if not np.isfinite(vector).all():
        raise ValueError(f"the vector of {word!r} holds NaN or infinity")
    return vector
