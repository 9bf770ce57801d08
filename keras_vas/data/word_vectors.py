"""Word vectors from a file, such as GloVe."""

import pathlib
import zipfile

import numpy as np

from keras_vas.data.vocabulary import FIRST_WORD_ID
from keras_vas.errors import UserError


def load(path, vocabulary, dimension):
    """Reads the vectors of the words of a vocabulary.

    Args:
        path: a text file with a word and its numbers on each line (GloVe),
            or an `.npz` file with `words` (n,) and `vectors` (n, dimension).
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
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path} with word vectors")
    numbers = {w: i for i, w in enumerate(vocabulary.words, FIRST_WORD_ID)}
    vectors = np.zeros((len(vocabulary), dimension), np.float32)
    missing = set(vocabulary.words)
    rows = _npz_rows(path) if path.suffix == ".npz" else _text_rows(path)
    try:
        for word, row in rows:
            if len(row) != dimension:
                raise UserError(
                    f"{path} holds vectors of {len(row)} numbers; give "
                    f"--embedding_dim={len(row)} (now {dimension})"
                )
            if word in missing:
                vectors[numbers[word]] = np.asarray(row, np.float32)
                missing.remove(word)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is no file of word vectors ({error}); give a GloVe text "
            "file, or an .npz with words and vectors"
        ) from error
    return vectors, [word for word in vocabulary.words if word in missing]


def _npz_rows(path):
    with np.load(path, allow_pickle=False) as archive:
        words, vectors = archive["words"], archive["vectors"]
    yield from zip(words.tolist(), vectors, strict=True)


def _text_rows(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, *row = line.rstrip().split(" ")
            yield word, row
