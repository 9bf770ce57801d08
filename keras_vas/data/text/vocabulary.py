"""Sentences as token ids: the words a model knows, and their mirror images.

The same in-graph functions serve training, evaluation and export, so that a
sentence is read in one way everywhere.
"""

import collections
import pathlib

import tensorflow as tf

from keras_vas import files
from keras_vas.errors import UserError

PADDING_ID = 0
UNKNOWN_ID = 1
FIRST_WORD_ID = 2
MAX_WORDS = 20

_SIDES = (
    ("left", "right"),
    ("leftmost", "rightmost"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("leftside", "rightside"),
    ("lefthand", "righthand"),
)
MIRROR_WORDS = {a: b for pair in _SIDES for a, b in (pair, pair[::-1])}
POSITION_WORDS = frozenset(MIRROR_WORDS) | {
    "top", "bottom", "upper", "lower", "middle", "center", "centre", "corner",
    "edge", "side",
}  # fmt: skip

_PUNCTUATION = r"([\p{P}\p{S}])"
_WHITE_SPACE = r"[\p{Z}\s]+"
_LISTED_WORDS = 10


def tokenize(texts):
    """Splits sentences into lower-case words.

    Every punctuation mark or symbol is a word of its own; bytes that are not
    UTF-8 and control characters separate words like white space.

    Args:
        texts: string tensor of any shape, UTF-8.

    Returns:
        `tf.RaggedTensor` of words with one more dimension than `texts`; for
        a scalar, a string tensor `(words,)`.
    """
    texts = tf.strings.unicode_transcode(
        texts,
        "UTF-8",
        "UTF-8",
        replacement_char=ord(" "),
        replace_control_characters=True,
    )
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _PUNCTUATION, r" \1 ")
    return tf.strings.split(tf.strings.regex_replace(texts, _WHITE_SPACE, " "))


class Vocabulary:
    """The words of a model, each with an id.

    Id 0 is padding, 1 any unknown word; known words count from 2.

    Args:
        words: distinct lower-case words in the order of their ids, without
            the two special entries.

    Attributes:
        words: tuple of the known words.
        table: `tf.lookup.StaticHashTable` from word to id, which an export
            has to track.

    Raises:
        ValueError: for a repeated word, or one that is empty or holds white
            space.
    """

    def __init__(self, words):
        self.words = tuple(words)
        repeated = [
            word
            for word, count in collections.Counter(self.words).items()
            if count > 1
        ]
        if repeated:
            raise ValueError(
                f"Words must be distinct. Received twice: {repeated[0]!r}"
            )
        for word in self.words:
            if word.split() != [word]:
                raise ValueError(
                    "A word must not be empty or hold white space. "
                    f"Received: {word!r}"
                )
        self._ids = {
            word: number
            for number, word in enumerate(self.words, FIRST_WORD_ID)
        }
        with tf.init_scope(), tf.device("cpu:0"):
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(self.words, tf.string),
                    tf.range(
                        FIRST_WORD_ID, FIRST_WORD_ID + len(self.words),
                        dtype=tf.int64,
                    ),
                ),
                default_value=UNKNOWN_ID,
            )  # fmt: skip
        self._mirror_ids = [PADDING_ID, UNKNOWN_ID] + [
            self.id_of(MIRROR_WORDS.get(word, word)) for word in self.words
        ]
        self._position_ids = sorted(
            self._ids[word] for word in POSITION_WORDS if word in self._ids
        )

    def __len__(self):
        """Number of ids, padding and the unknown word included."""
        return FIRST_WORD_ID + len(self.words)

    def id_of(self, word):
        """The id of one word; 1 if it is unknown."""
        return self._ids.get(word, UNKNOWN_ID)

    def encode(self, texts):
        """Turns sentences into token ids, in or outside a graph.

        The first 20 words are kept. A sentence without words is read as one
        unknown word, so that no later mean or softmax runs over nothing.

        Args:
            texts: string tensor of any shape.

        Returns:
            int32 tensor, shape of `texts` + `(20,)`, padded on the right.
        """
        texts = tf.convert_to_tensor(texts, tf.string)
        words = tokenize(tf.reshape(texts, [-1]))
        ids = words.with_values(
            tf.cast(self.table.lookup(words.values), tf.int32)
        ).to_tensor(PADDING_ID, shape=[None, MAX_WORDS])
        nothing = tf.one_hot(
            0, MAX_WORDS, UNKNOWN_ID, PADDING_ID, dtype=tf.int32
        )
        ids = tf.where(ids[:, :1] == PADDING_ID, nothing, ids)
        shape = tf.concat([tf.shape(texts), [MAX_WORDS]], axis=0)
        ids = tf.reshape(ids, shape)
        ids.set_shape([*texts.shape, MAX_WORDS])
        return ids

    def mirror(self, tokens):
        """Swaps left and right, for a picture flipped horizontally.

        Whole words only. A side word whose opposite is not in the vocabulary
        becomes the unknown word rather than a false one.

        Args:
            tokens: int32 tensor of any shape.

        Returns:
            int32 tensor of the same shape.
        """
        return tf.gather(tf.constant(self._mirror_ids, tf.int32), tokens)

    def names_position(self, tokens):
        """Whether a sentence places its actor in the picture.

        Args:
            tokens: int32 tensor `(..., words)`.

        Returns:
            bool tensor `(...)`, true where a word such as "left", "top" or
            "middle" occurs.
        """
        positions = tf.constant(self._position_ids, tf.int32)
        return tf.reduce_any(tokens[..., None] == positions, axis=(-2, -1))

    @classmethod
    def build(cls, texts):
        """Collects the words of sentences, the most frequent first.

        Words of equal frequency are in alphabetical order. Where only one of
        a pair such as left and right occurs, the other is added, so that
        every sentence can be mirrored.

        Args:
            texts: iterable of str.

        Raises:
            ValueError: if there is no word at all.
        """
        counts = collections.Counter(
            word.decode()
            for word in tokenize(tf.constant(list(texts), tf.string))
            .flat_values.numpy()
            .tolist()
        )
        if not counts:
            raise ValueError("Sentences must hold words. Received: none")
        for word in [word for word in counts if word in MIRROR_WORDS]:
            counts.setdefault(MIRROR_WORDS[word], 0)
        return cls(sorted(counts, key=lambda word: (-counts[word], word)))

    def save(self, path):
        """Writes the words to a UTF-8 text file, one a line."""
        files.write_lines(path, self.words)

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Raises:
            UserError: if the file is missing, empty or not a list of words.
        """
        path = pathlib.Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UserError(
                f"There is no vocabulary at {path}; name a run directory that "
                "train.py has written"
            ) from None
        except UnicodeDecodeError:
            raise UserError(
                f"The vocabulary {path} is not UTF-8 text; restore the file"
            ) from None
        if not text:
            raise UserError(f"The vocabulary {path} is empty; restore the file")
        try:
            return cls(text.removesuffix("\n").split("\n"))
        except ValueError as error:
            raise UserError(
                f"The vocabulary {path} is not one word a line ({error}); "
                "restore the file"
            ) from None


def warnings_for(text, vocabulary):
    """What a user should know about a sentence before it is used.

    Args:
        text: str, the sentence.
        vocabulary: `Vocabulary`.

    Returns:
        List of one-line messages: an empty sentence, one of more than 20
        words, words that the model does not know. Empty for a plain sentence.
    """
    words = [word.decode() for word in tokenize(text).numpy().tolist()]
    if not words:
        return ["The sentence is empty; it is read as one unknown word"]
    messages = []
    if len(words) > MAX_WORDS:
        messages.append(
            f"The sentence has {len(words)} words; only the first {MAX_WORDS} "
            "are read"
        )
    unknown = unknown_words([text], vocabulary)
    if unknown:
        messages.append(
            f"The model does not know these words: {listed(unknown)}"
        )
    return messages


def unknown_words(texts, vocabulary):
    """The words that are read of sentences and that a model does not know.

    Args:
        texts: list of str.
        vocabulary: `Vocabulary`.

    Returns:
        List of str, each once, in the order in which they occur.
    """
    rows = tokenize(tf.constant(texts, tf.string, [len(texts)]))
    read = (word.decode() for word in rows[:, :MAX_WORDS].flat_values.numpy())
    return [w for w in dict.fromkeys(read) if vocabulary.id_of(w) == UNKNOWN_ID]


def listed(words):
    """Words as one text, of many the first ones and their number."""
    more = len(words) - _LISTED_WORDS
    return ", ".join(words[:_LISTED_WORDS]) + (
        f" and {more} more" if more > 0 else ""
    )


def sentence_warnings(texts, vocabulary, shown=5):
    """The warnings of many sentences, in a few lines.

    Args:
        texts: iterable of str; a sentence that comes again counts once.
        vocabulary: `Vocabulary`.
        shown: how many sentences are named.

    Returns:
        List of lines, empty if no sentence has a warning.
    """
    texts = list(dict.fromkeys(texts))
    if not texts:
        return []
    too_long = tokenize(texts).row_lengths().numpy() > MAX_WORDS
    strange = (vocabulary.encode(texts).numpy() == UNKNOWN_ID).any(axis=1)
    found = [texts[i] for i in (too_long | strange).nonzero()[0]]
    lines = [
        f'warning: "{text[:60]}": {"; ".join(warnings_for(text, vocabulary))}'
        for text in found[:shown]
    ]
    if len(found) > shown:
        lines.append(f"warning: {len(found) - shown:,} more like these")
    return lines
