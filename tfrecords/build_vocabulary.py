"""Makes a vocabulary, and cuts the word vectors that it needs.

    python tfrecords/build_vocabulary.py --data=RECORDS --output=DIR
        --word_vectors=glove.6B.300d.txt --top=20000

    DIR/vocabulary.txt      one word a line: train.py --vocabulary
    DIR/word_vectors.npz    words, vectors: train.py --word_vectors
    DIR/not_covered.txt     words of the sentences without a vector, and how
                            often they occur, divided by a tab

The words are those of the sentences, the most frequent first, then the most
frequent ones of the vector file, and the nouns among some more of them that are
near a class of ImageNet (--nouns=120000). Words that a model has a vector for
but never met in training are of use: with the vectors frozen, it reads them as
it reads their neighbours, where otherwise all would be one unknown word.
"""

import collections
import dataclasses
import pathlib

from absl import flags

from keras_vas import command_line, errors, files
from keras_vas.data import records, training_split
from keras_vas.data.text import class_words, word_vectors
from keras_vas.data.text.vocabulary import MIRROR_WORDS, Vocabulary, tokenize

NAMES = ("word_vectors.npz", "not_covered.txt", "vocabulary.txt")
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Result:
    """A vocabulary, its vectors, and how far they cover the sentences.

    Attributes:
        vocabulary: `Vocabulary`.
        vectors: dict from word to float32 array (dimension,); `None` if no
            word vectors were named.
        counts: `collections.Counter` of the words of the sentences.
    """

    vocabulary: Vocabulary
    vectors: dict | None
    counts: collections.Counter

    @property
    def not_covered(self):
        """Words of the sentences without a vector, most frequent first."""
        return [
            word
            for word in self.vocabulary.words
            if self.counts[word] and word not in self.vectors
        ]


def read_sentences(folders, text_files):
    """All sentences of records and of text files.

    Args:
        folders: folders of records; all their splits are read.
        text_files: UTF-8 text files with a sentence on each line.

    Returns:
        List of str, one for each sample of the records and each line that is
        not blank.

    Raises:
        UserError: a folder or file is missing or damaged, or holds none.
    """
    texts = []
    for folder in folders:
        for split in records.read_manifest(folder)["splits"]:
            texts += training_split.sentences(records.read_index(folder, split))
    for path in text_files:
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise errors.UserError(
                f"{path} is not UTF-8 text ({error.reason} at byte "
                f"{error.start}); give a text file with a sentence on each line"
            ) from error
        lines = [line for line in lines if line.strip()]
        if not lines:
            raise errors.UserError(f"{path} holds no sentence")
        texts += lines
    return texts


def build(texts, vectors_path=None, top=0, nouns=0):
    """Chooses the words and finds their vectors.

    Args:
        texts: list of str, the sentences; may be empty if `top` or `nouns` is
            not 0.
        vectors_path: file of word vectors, see `word_vectors`, or `None`.
        top: int, how many of its most frequent words to take in addition.
        nouns: int, among how many of them also to take those that
            `class_words` knows the look of.

    Returns:
        `Result`.

    Raises:
        UserError: the sentences hold no word, or the file of word vectors is
            missing, damaged, or holds none of the words.
    """
    words = tokenize(texts or [""]).flat_values.numpy().tolist()
    counts = collections.Counter(word.decode() for word in words)
    if not (counts or top or nouns):
        raise errors.UserError("the sentences hold no words")
    chosen = list(Vocabulary.build(texts).words) if counts else []
    if vectors_path is None:
        return Result(Vocabulary(chosen), None, counts)
    # The opposite of a side word is needed to mirror sentences.
    found, frequent = word_vectors.cut(
        vectors_path, {*chosen, *MIRROR_WORDS}, max(top, nouns)
    )
    chosen += frequent[:top]
    role = class_words.shipped().role
    chosen += [w for w in frequent[top:nouns] if role(w) == class_words.NOUN]
    chosen += [MIRROR_WORDS[word] for word in chosen if word in MIRROR_WORDS]
    chosen = list(dict.fromkeys(chosen))
    vectors = {word: found[word] for word in chosen if word in found}
    if not vectors:
        raise errors.UserError(
            f"{vectors_path} has a vector for none of the {len(chosen)} words"
        )
    return Result(Vocabulary(chosen), vectors, counts)


def write(output, result, overwrite=False):
    """Writes the files of a `Result`.

    Args:
        output: folder; it is made if it is missing.
        result: `Result`.
        overwrite: bool, replace the files of an earlier run.

    Raises:
        UserError: one of the files is there and `overwrite` is not set.
    """
    output = pathlib.Path(output)
    there = [name for name in NAMES if (output / name).exists()]
    if there and not overwrite:
        raise errors.UserError(
            f"{output / there[0]} exists; give another --output, or "
            "--overwrite to replace it"
        )
    for name in there:
        (output / name).unlink()
    if result.vectors is not None:
        word_vectors.save(output / "word_vectors.npz", result.vectors)
        with files.atomic_path(output / "not_covered.txt") as temporary:
            temporary.write_text(
                "".join(
                    f"{word}\t{result.counts[word]}\n"
                    for word in result.not_covered
                ),
                encoding="utf-8",
            )
    result.vocabulary.save(output / "vocabulary.txt")


def report(result, num_sentences):
    """Lines that say how far the vectors cover the sentences."""
    occurring = sum(result.counts.values())
    lines = [
        f"{num_sentences:,} sentences hold {len(result.counts):,} different "
        f"words, {occurring:,} in all"
    ]
    if result.vectors is not None:
        missing = result.not_covered
        covered = len(result.counts) - len(missing)
        spoken = occurring - sum(result.counts[word] for word in missing)
        if occurring:
            lines.append(
                f"with a vector: {covered:,} of them "
                f"({covered / len(result.counts):.1%}), "
                f"{spoken / occurring:.2%} of the words as they occur"
            )
        if missing:
            more = len(missing) - _SHOWN
            lines.append(
                f"not covered ({len(missing)}): {', '.join(missing[:_SHOWN])}"
                + (f" and {more} more" if more > 0 else "")
            )
        dimension = len(next(iter(result.vectors.values())))
        lines.append(
            f"vectors of {dimension} numbers for {len(result.vectors):,} words"
        )
    lines.append(f"vocabulary of {len(result.vocabulary.words):,} words")
    return lines


def define_flags():
    """Defines the program's flags."""
    flags.DEFINE_multi_string(
        "data", [], "Folder of records, all splits; may be given repeatedly."
    )
    flags.DEFINE_multi_string(
        "sentences",
        [],
        "Text file with a sentence on each line; may be given repeatedly.",
    )
    flags.DEFINE_string(
        "word_vectors",
        None,
        "GloVe text file, .npz of words and vectors, or word2vec's .bin.",
    )
    flags.DEFINE_integer(
        "top",
        0,
        "How many of the most frequent words of --word_vectors to add.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "nouns",
        0,
        "Among how many of the most frequent words of --word_vectors to add "
        "the nouns that --class_prior knows the look of.",
        lower_bound=0,
    )
    flags.DEFINE_string("output", None, "Folder to write to.", required=True)
    flags.DEFINE_boolean("overwrite", False, "Replace what is there.")


def main(_):
    """Writes the files and reports."""
    options = flags.FLAGS
    frequent = options.top or options.nouns
    if frequent and not options.word_vectors:
        raise errors.UserError(
            "--top and --nouns take words of a vector file; give "
            "--word_vectors too"
        )
    if not (options.data or options.sentences or frequent):
        raise errors.UserError(
            "there are no sentences: give --data, --sentences, --top or --nouns"
        )
    texts = read_sentences(options.data, options.sentences)
    result = build(texts, options.word_vectors, options.top, options.nouns)
    write(options.output, result, options.overwrite)
    for line in report(result, len(texts)):
        print(line)
    print(f"written to {options.output}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
