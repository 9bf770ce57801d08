r"""Makes the table of nouns and picture classes from WordNet's own files.

    python -m keras_vas.data.text.wordnet --wordnet=/usr/share/wordnet \
        --synsets=imagenet_synsets.txt

`--wordnet` holds `index.noun`, `data.noun` and `cntlist.rev` of WordNet 3.0
(Debian: wordnet-base). `--synsets` lists the class synsets of ImageNet-1000,
one such as n01440764 on each line or first in it, in the order of the classes
(`imagenet_synsets.txt` of timm). The table ships with the package; this
program is only needed to make it anew.

With d(s, c) the path distance between a sense and a class's synset, over
hypernyms and instances,

    P(c | s) = softmax_c(-d(s, c) / 0.5),  P(c | noun) = sum_s P(s) P(c | s),

where P(s) is proportional to (count in WordNet's tagged texts + 1) / 2^rank
over the senses that are near a class. A sense that is a kind of person means
the class `class_words.PERSON` instead, which ImageNet lacks.
"""

import collections
import pathlib

import numpy as np
from absl import flags

from keras_vas import command_line, files
from keras_vas.data.text import class_words
from keras_vas.errors import UserError

_TEMPERATURE = 0.5
_FARTHEST = 5  # edges from a sense to the nearest class, else it means none
_LEAST = 0.02  # of a weight that is kept
_MOST_CLASSES = 24  # of one noun
_MOST_WORDS = 3  # of one noun
_PERSON = "n00007846"
_PHYSICAL = "n00001930"
_UP = ("@", "@i")
# Nouns that WordNet 3.0 lacks, or has far from what they look like.
_ALIKE = {
    "biker": "cyclist", "windsurfer": "surfer", "kitesurfer": "surfer",
    "paraglider": "pilot", "snowboarder": "skier", "skateboarder": "skater",
    "rollerblader": "skater", "kitten": "cat", "smartphone": "cellphone",
    "tv": "television",
}  # fmt: skip


def build(wordnet, synsets):
    """Reads WordNet and weighs the classes of every noun.

    Args:
        wordnet: folder with the files of WordNet 3.0.
        synsets: list of class synsets such as `"n01440764"`.

    Returns:
        Dict from a noun, its words separated by spaces, to a dict from class
        number to weight; the weights of a noun sum to 1.

    Raises:
        UserError: a file is missing, or is not of WordNet 3.0.
    """
    wordnet = pathlib.Path(wordnet)
    above, keys = _read_data(wordnet / "data.noun")
    senses = _read_index(wordnet / "index.noun")
    counts = _read_counts(wordnet / "cntlist.rev")
    missing = [synset for synset in synsets if synset not in above]
    if missing:
        raise UserError(
            f"{wordnet} lacks the synset {missing[0]}; the classes are those "
            "of WordNet 3.0"
        )
    below = _distances_below(synsets, above)
    found = {}
    for noun, its_senses in senses.items():
        mixed = collections.Counter()
        for rank, sense in enumerate(its_senses):
            weights = _sense_weights(sense, above, below)
            share = (counts[noun, keys[sense][noun]] + 1) / 2**rank
            for number, weight in weights.items():
                mixed[number] += share * weight
        if mixed:
            found[noun] = _kept(mixed)
    return found | {
        new: found[old] for new, old in _ALIKE.items() if old in found
    }


def _read(path):
    try:
        return path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; give --wordnet the folder "
            "of WordNet 3.0's files"
        ) from error


def _read_data(path):
    """Synset -> its hypernyms; synset -> lemma -> sense key without lemma."""
    above, keys = {}, {}
    for line in _read(path):
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        synset, file_number = "n" + fields[0], fields[1]
        words = int(fields[3], 16)
        keys[synset] = {
            fields[4 + 2 * i].lower(): (file_number, fields[5 + 2 * i])
            for i in range(words)
        }
        pointers = fields[5 + 2 * words :]
        above[synset] = [
            "n" + pointers[4 * i + 1]
            for i in range(int(fields[4 + 2 * words]))
            if pointers[4 * i] in _UP
        ]
    return above, {
        synset: {
            lemma.replace("_", " "): f"1:{file}:{int(number, 16):02d}"
            for lemma, (file, number) in lemmas.items()
        }
        for synset, lemmas in keys.items()
    }


def _read_index(path):
    """Noun -> synsets, the most frequent sense first."""
    senses = {}
    for line in _read(path):
        fields = line.split()
        noun = fields[0].replace("_", " ") if fields else ""
        plain = noun.replace(" ", "").replace("-", "").isalpha()
        if line.startswith(" ") or not plain or len(noun) < 2:
            continue
        if noun.count(" ") < _MOST_WORDS:
            senses[noun] = ["n" + x for x in fields[-int(fields[2]) :]]
    return senses


def _read_counts(path):
    counts = collections.Counter()
    for line in _read(path):
        key, _, count = line.split()
        lemma, _, place = key.partition("%")
        counts[lemma.replace("_", " "), place.rstrip(":")] += int(count)
    return counts


def _ancestors(synset, above):
    """Dict from a synset above (itself too) to the edges between."""
    found = {synset: 0}
    waiting = collections.deque([synset])
    while waiting:
        here = waiting.popleft()
        for upper in above[here]:
            if upper not in found:
                found[upper] = found[here] + 1
                waiting.append(upper)
    return found


def _distances_below(synsets, above):
    """Synset -> float array (classes,), edges down to each class or inf."""
    below = {}
    for number, synset in enumerate(synsets):
        for upper, edges in _ancestors(synset, above).items():
            row = below.setdefault(upper, np.full(len(synsets), np.inf))
            row[number] = min(row[number], edges)
    return below


def _sense_weights(sense, above, below):
    ancestors = _ancestors(sense, above)
    if _PERSON in ancestors:
        return {class_words.PERSON: 1.0}
    paths = [below[x] + edges for x, edges in ancestors.items() if x in below]
    if not paths:
        return {}
    distances = np.min(paths, axis=0)
    nearest = distances.min()
    physical = _PHYSICAL in ancestors or not nearest
    if nearest > _FARTHEST or not physical:
        return {}
    weights = np.exp((nearest - distances) / _TEMPERATURE)
    weights /= weights.sum()
    return dict(enumerate(weights))


def _kept(mixed):
    """The largest weights of a noun, which sum to 1 again."""
    total = sum(mixed.values())
    largest = sorted(mixed.items(), key=lambda item: -item[1])[:_MOST_CLASSES]
    kept = {
        number: weight
        for number, weight in largest
        if weight >= min(_LEAST * total, largest[0][1])
    }
    total = sum(kept.values())
    return {number: weight / total for number, weight in sorted(kept.items())}


def _read_synsets(path):
    synsets = [line.split()[0] for line in _read(pathlib.Path(path)) if line]
    if len(synsets) != class_words.PERSON:
        raise UserError(
            f"{path} lists {len(synsets)} synsets; ImageNet's classes are "
            f"{class_words.PERSON}"
        )
    return synsets


def main(_):
    """Writes the table."""
    table = build(flags.FLAGS.wordnet, _read_synsets(flags.FLAGS.synsets))
    output = pathlib.Path(flags.FLAGS.output)
    with files.atomic_path(output) as path:
        class_words.write(path, table)
    print(f"{len(table)} nouns, {output.stat().st_size:,} bytes in {output}")


if __name__ == "__main__":
    flags.DEFINE_string(
        "wordnet", "/usr/share/wordnet", "Folder of WordNet's data files."
    )
    flags.DEFINE_string(
        "synsets", None, "File with the synset of each class.", required=True
    )
    flags.DEFINE_string(
        "output", str(class_words.TABLE), "File of the table to write, .npz."
    )
    command_line.run(main)
