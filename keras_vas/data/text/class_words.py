"""Which classes of ImageNet-1000 look like what a noun means.

The table `class_words.npz` gives each noun of WordNet 3.0 that is near a class
its weights over the classes (`wordnet.py` makes it, and says how). Kinds of
person, whom ImageNet does not have, weigh on one more class, `PERSON`.
"""

import functools
import pathlib
import zipfile

import numpy as np

from keras_vas.errors import UserError

TABLE = pathlib.Path(__file__).with_name("class_words.npz")
PERSON = 1000
CLASSES = 1001

_SCALE = 255
_MOST_WORDS = 3

# Singular forms that no rule gives.
_IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "children": "child",
    "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth",
    "oxen": "ox", "wolves": "wolf", "calves": "calf", "knives": "knife",
    "leaves": "leaf", "shelves": "shelf", "loaves": "loaf", "kids": "kid",
}  # fmt: skip
_ENDINGS = (
    ("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"),
    ("xes", "x"), ("ses", "s"), ("zes", "z"), ("oes", "o"), ("s", ""),
)  # fmt: skip

# Words that WordNet has as nouns, but which stand before or after the noun.
_NEVER_HEADS = frozenset(
    """a an the this that these those some one two three four five several many
    each all both its his her their
    left right top bottom middle center centre front back side far near close
    upper lower first second third last other another
    big small large little long short tall tiny huge young old adult baby
    red green blue yellow purple white black brown gray grey pink orange golden
    silver beige tan blonde blond colored coloured color colour striped spotted
    dark light bright brownish greyish grayish reddish bluish whitish
    male female wild domestic double single thick thin fat round square sport
    sports race racing fishing hockey football soccer tennis basketball bmx
    group pair couple herd flock bunch piece set lot team crowd row kind type
    part
    """.split()
)
_STOPS = frozenset(
    """is are was were be being been has have had does do did can will
    on in at by with without of from to into onto over under above below
    behind beside besides between next against along across through around
    and or among about down up off out inside outside towards toward past during
    while when where who whom whose which as for , . ; : ( )""".split()
)

SKIP, NOUN, STOP = range(3)


def write(path, table):
    """Writes a table.

    Args:
        path: of the file, `.npz`.
        table: dict from a noun to a dict from class number to weight.
    """
    rows = [tuple(sorted(table[noun].items())) for noun in sorted(table)]
    distinct = list(dict.fromkeys(rows))
    number = {row: i for i, row in enumerate(distinct)}
    np.savez_compressed(
        path,
        nouns=np.frombuffer("\n".join(sorted(table)).encode(), np.uint8),
        row=np.array([number[row] for row in rows], np.uint16),
        length=np.array([len(row) for row in distinct], np.uint8),
        classes=np.array([c for row in distinct for c, _ in row], np.uint16),
        weights=np.array(
            [max(round(_SCALE * w), 1) for row in distinct for _, w in row],
            np.uint8,
        ),
    )


class ClassWords:
    """The table, read from its file.

    Args:
        path: of the table.

    Raises:
        UserError: there is no table, or a damaged one.
    """

    def __init__(self, path=TABLE):
        try:
            with np.load(path) as arrays:
                nouns = arrays["nouns"].tobytes().decode().split("\n")
                self._row = dict(zip(nouns, arrays["row"], strict=True))
                self._ends = np.cumsum(arrays["length"], dtype=np.int64)
                self._classes = arrays["classes"]
                self._weights = arrays["weights"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is no table of nouns: {error}; install the package "
                "again, or make it with python -m keras_vas.data.text.wordnet"
            ) from error

    def __len__(self):
        return len(self._row)

    def __iter__(self):
        return iter(self._row)

    def __contains__(self, noun):
        return self._entry(noun) is not None

    def weights(self, noun):
        """What a noun means, as weights of the classes.

        Args:
            noun: str, in lower case, singular or plural, of up to three words.

        Returns:
            float32 array `(CLASSES,)` that sums to 1, or `None` for a noun
            that the table does not have.
        """
        row = self._entry(noun)
        if row is None:
            return None
        end = self._ends[row]
        start = self._ends[row - 1] if row else 0
        weights = np.zeros(CLASSES, np.float32)
        weights[self._classes[start:end]] = self._weights[start:end]
        return weights / weights.sum()

    def _entry(self, noun):
        return next(
            (self._row[x] for x in singulars(noun) if x in self._row), None
        )

    def role(self, word):
        """What a word does in the search for the noun of a sentence.

        Returns:
            `NOUN` for one of the table; `STOP` for a word that ends a noun
            group, such as a verb or a preposition; else `SKIP`.
        """
        if word in _STOPS or word.endswith("ing"):
            return STOP
        return NOUN if word not in _NEVER_HEADS and word in self else SKIP

    def head_noun(self, words):
        """The noun that a sentence is about: the last of its first noun group.

        "a man on a horse" is about a man, "a small race car drifting" about a
        car, "a herd of brown cows" about cows.

        Args:
            words: list of lower-case str.

        Returns:
            `(first, last)`: the noun is `words[first:last]`, of one or more
            words; `None` if there is no noun of the table.
        """
        last = None
        for place, word in enumerate(words):
            role = self.role(word)
            if role == NOUN:
                last = place
            elif role == STOP and last is not None:
                break
        if last is None:
            return None
        counts = range(min(_MOST_WORDS, last + 1), 0, -1)
        firsts = [last + 1 - count for count in counts]
        return next(
            (first, last + 1)
            for first in firsts
            if " ".join(words[first : last + 1]) in self
        )


def singulars(noun):
    """A noun itself and what it may be the plural of, likeliest first."""
    head, _, last = noun.rpartition(" ")
    before = f"{head} " if head else ""
    found = [noun]
    if last in _IRREGULAR:
        found.insert(0, before + _IRREGULAR[last])
    found += [
        before + last.removesuffix(ending) + singular
        for ending, singular in _ENDINGS
        if last.endswith(ending) and len(last) > len(ending) + 1
    ]
    return found


@functools.cache
def shipped():
    """The `ClassWords` that the package ships."""
    return ClassWords()
