"""What the lesson in names teaches: words, and the classes that they mean."""

import collections
import dataclasses
import json
import pathlib
import re

import numpy as np

from keras_vas.data.text import class_words, word_forms
from keras_vas.data.text.vocabulary import (
    FIRST_WORD_ID,
    MAX_WORDS,
    PADDING_ID,
    UNKNOWN_ID,
)
from keras_vas.errors import UserError

WORDNET = "wordnet"
_MOST_BEFORE, _MOST_AFTER = 2, 4
_WITH_ANOTHER = 0.3  # of the sentences have a second noun, after a stop word
_REAL = 0.25  # of the sentences are training sentences


@dataclasses.dataclass(frozen=True, eq=False)
class TaughtNames:
    """Names as word ids, each with what it may mean.

    Attributes:
        tokens: list of tuples of int, the words of each name.
        classes: int32 array (names, most classes of a name).
        weights: float32 array of the same shape; those of a name sum to 1.
    """

    tokens: list
    classes: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, found):
        """From a dict of tokens to a dict of class number to weight."""
        most = max(map(len, found.values()))
        classes = np.zeros((len(found), most), np.int32)
        weights = np.zeros((len(found), most), np.float32)
        for row, meant in enumerate(found.values()):
            classes[row, : len(meant)] = list(meant)
            weights[row, : len(meant)] = list(meant.values())
        weights /= weights.sum(axis=1, keepdims=True)
        return cls(list(found), classes, weights)


def read_names(path, classes):
    """Reads the names of a head's classes.

    Args:
        path: a text file with one class on each line, in the head's order,
            several names of one class separated by commas; or the
            `imagenet_class_index.json` of keras.applications.
        classes: int, how many the head has.

    Returns:
        List of tuples of names.

    Raises:
        UserError: there is no such file, or it names another number of
            classes.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the class names {path}: {error}"
        ) from error
    lines = text.splitlines()
    if pathlib.Path(path).suffix == ".json":
        lines = _lines_of_index(text, path)
    if len(lines) != classes:
        raise UserError(
            f"{path} names {len(lines)} classes, but the pretrained head has "
            f"{classes}; the names must be those of its classes, in its order"
        )
    return [
        tuple(name.strip() for name in line.split(",") if name.strip())
        for line in lines
    ]


def _lines_of_index(text, path):
    try:
        index = json.loads(text)
        names = [index[str(number)][1] for number in range(len(index))]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path} is no class index of keras.applications: {error}"
        ) from error
    return [name.replace("_", " ") for name in names]


def of_classes(names, vocabulary, actions=False):
    """The names of classes that are made of known words.

    Args:
        names: list of tuples of names, one of each class.
        vocabulary: `Vocabulary`.
        actions: whether each word of a name is taught too, and every form of
            a verb: "playing", "play" and "plays" mean all classes that are
            playing something, "cricket" playing cricket.

    Returns:
        `TaughtNames`.

    Raises:
        UserError: no name is made of known words.
    """
    found = collections.defaultdict(collections.Counter)
    for number, of_class in enumerate(names):
        for ids in vocabulary.encode(of_class).numpy():
            ids = ids[ids != PADDING_ID]
            if UNKNOWN_ID not in ids:
                found[tuple(ids.tolist())][number] = 1.0
    if actions:
        table = class_words.shipped()

        def known(word):
            return vocabulary.id_of(word) != UNKNOWN_ID

        for number, of_class in enumerate(names):
            words = re.findall("[a-z]+", " ".join(of_class).lower())
            for word in set(words):
                if word.endswith("ing") or table.role(word) == class_words.NOUN:
                    for form in word_forms.forms(word, known):
                        found[(vocabulary.id_of(form),)][number] = 1.0
    if not found:
        raise UserError(
            "no class has a name of known words; give a --vocabulary with "
            "more words"
        )
    return TaughtNames.of(found)


def of_nouns(vocabulary):
    """All nouns of known words that are near a class of ImageNet, or a person.

    Plurals too, and nouns of up to three words; `data.text.class_words` says
    what each means.

    Args:
        vocabulary: `Vocabulary`.

    Returns:
        `TaughtNames` of the `class_words.CLASSES` classes.

    Raises:
        UserError: no noun is made of known words.
    """
    table = class_words.shipped()
    ids = {word: i for i, word in enumerate(vocabulary.words, FIRST_WORD_ID)}
    nouns = {(word,) for word in ids if table.role(word) == class_words.NOUN}
    endings = collections.defaultdict(list)
    for word in ids:
        for singular in class_words.singulars(word):
            endings[singular].append(word)
    for noun in table:
        *before, last = noun.split()
        if before and all(word in ids for word in before):
            nouns.update((*before, word) for word in endings[last])
    found = {}
    for words in sorted(nouns):
        weights = table.weights(" ".join(words))
        if weights is not None:
            found[tuple(ids[word] for word in words)] = {
                int(c): float(weights[c]) for c in weights.nonzero()[0]
            }
    if not found:
        raise UserError(
            "no noun of the vocabulary is near a class of ImageNet; give a "
            "--vocabulary with more words"
        )
    return TaughtNames.of(found)


class Sentences:
    """Sentences about names, by lot.

    A name has random words of the training sentences before and after it.
    Where nouns are taught, some sentences have a second noun, which they are
    not about ("... swan ... on ... bus"), and some are training sentences,
    which mean what their head noun means.

    Args:
        names: `TaughtNames`.
        vocabulary: `Vocabulary`.
        sentences: list of str, the training sentences.
        nouns: whether nouns are taught.
    """

    def __init__(self, names, vocabulary, sentences, nouns):
        self._names = names.tokens
        rows = vocabulary.encode(sentences).numpy()
        last = {tokens[-1] for tokens in names.tokens}
        words = sorted(set(np.unique(rows).tolist()) - last)
        self._fillers = [x for x in words if x >= FIRST_WORD_ID]
        self._stops, self._real = [], []
        if nouns:
            table = class_words.shipped()
            words = ("", "", *vocabulary.words)
            self._stops = [
                x
                for x in self._fillers
                if table.role(words[x]) == class_words.STOP
                and words[x].isalpha()
            ]
            numbers = {tokens: i for i, tokens in enumerate(names.tokens)}
            for row in np.unique(rows, axis=0):
                head = table.head_noun([words[x] for x in row])
                number = numbers.get(tuple(row[slice(*head)]) if head else ())
                if number is not None:
                    self._real.append((row, number))

    def draw(self, random):
        """One sentence.

        Args:
            random: `np.random.Generator`.

        Returns:
            (int32 tokens `(MAX_WORDS,)`, number of the name that it means).
        """
        if self._real and random.random() < _REAL:
            return self._real[random.integers(len(self._real))]
        number = int(random.integers(len(self._names)))
        parts = [
            self._some(random, _MOST_BEFORE),
            self._names[number],
            self._some(random, _MOST_AFTER),
        ]
        if self._stops and random.random() < _WITH_ANOTHER:
            other = self._names[random.integers(len(self._names))]
            parts += [[random.choice(self._stops)], other]
        return padded(np.concatenate(parts)), number

    def _some(self, random, most):
        if not self._fillers:
            return ()
        return random.choice(self._fillers, random.integers(most + 1))


def padded(ids):
    """Ids of words as a row of tokens, int32 `(MAX_WORDS,)`."""
    row = np.full(MAX_WORDS, PADDING_ID, np.int32)
    row[: len(ids)] = ids[:MAX_WORDS]
    return row
