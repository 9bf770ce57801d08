"""The shipped table of nouns, the noun of a sentence, and WordNet's files."""

import numpy as np
import pytest

from keras_vas.data.text import class_words, wordnet
from keras_vas.errors import UserError

# Classes of ImageNet-1000, by their published numbers.
ZEBRA, AFRICAN_ELEPHANT, HIPPOPOTAMUS, TEDDY, ARABIAN_CAMEL = (
    340, 386, 344, 850, 354,
)  # fmt: skip


@pytest.fixture(scope="module")
def shipped():
    return class_words.shipped()


@pytest.mark.parametrize(
    ("noun", "number"),
    [
        ("camel", ARABIAN_CAMEL),
        ("elephant", AFRICAN_ELEPHANT),
        ("zebras", ZEBRA),
        ("rhino", ZEBRA),  # no class: its nearest relative in WordNet
        ("teddy bear", TEDDY),
        ("women", class_words.PERSON),
        ("cyclist", class_words.PERSON),
        ("windsurfer", class_words.PERSON),
    ],
)
def test_a_noun_means_the_nearest_class(shipped, noun, number):
    weights = shipped.weights(noun)
    assert weights.shape == (class_words.CLASSES,)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights[number] >= weights.max() - 1e-6


def test_a_rhino_is_also_a_little_like_other_beasts(shipped):
    assert 0 < shipped.weights("rhino")[HIPPOPOTAMUS] < 0.3


def test_what_has_no_look_has_no_weights(shipped):
    assert shipped.weights("honesty") is None
    assert "honesty" not in shipped


def test_the_table_is_small():
    assert class_words.TABLE.stat().st_size < 3_000_000
    assert len(class_words.shipped()) > 40_000


@pytest.mark.parametrize(
    ("sentence", "noun"),
    [
        ("a man on a horse", "man"),
        ("a small race car drifting on a track", "race car"),
        ("a herd of brown cows", "cows"),
        ("a brown and white dog is running", "dog"),
        ("horse and its rider jumping", "horse"),
        ("hockey player is moving with a stick", "hockey player"),
        ("the teddy bear on the left", "teddy bear"),
        ("running fast", None),
    ],
)
def test_head_noun(shipped, sentence, noun):
    words = sentence.split()
    found = shipped.head_noun(words)
    assert (found and " ".join(words[slice(*found)])) == noun


def test_a_damaged_table_is_the_users_error(tmp_path):
    whole = class_words.TABLE.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("cut.npz", "none.npz"):
        with pytest.raises(UserError, match="no table of nouns"):
            class_words.ClassWords(tmp_path / name)


def _fabricated(folder):
    """A WordNet of a physical tree, a person and an abstract noun.

    physical 1930 <- animal 10 <- dog 11, cat 12; <- person 7846 <- sitter 13;
    abstract 20 <- idea 21. "dog" also means a sitter, less often.
    """
    synsets = {
        "00001930": ("physical", ()), "00000010": ("animal", ("00001930",)),
        "00000011": ("dog", ("00000010",)), "00000012": ("cat", ("00000010",)),
        "00007846": ("person", ("00001930",)),
        "00000013": ("dog", ("00007846",)), "00000020": ("abstract", ()),
        "00000021": ("idea", ("00000020",)),
    }  # fmt: skip
    data = ["  1 licence\n"]
    for number, (word, above) in synsets.items():
        pointers = "".join(f"@ {x} n 0000 " for x in above)
        data.append(
            f"{number} 03 n 01 {word} 0 {len(above):03d} {pointers}| a gloss\n"
        )
    (folder / "data.noun").write_text("".join(data))
    (folder / "index.noun").write_text(
        "dog n 2 1 @ 2 1 00000011 00000013\n"
        "cat n 1 1 @ 1 0 00000012\n"
        "animal n 1 1 @ 1 0 00000010\n"
        "idea n 1 1 @ 1 0 00000021\n"
    )
    (folder / "cntlist.rev").write_text("dog%1:03:00:: 1 3\n")


def test_weights_are_those_of_path_distances(tmp_path, monkeypatch):
    monkeypatch.setattr(wordnet, "_LEAST", 0.0)
    _fabricated(tmp_path)
    table = wordnet.build(tmp_path, ["n00000011", "n00000012"])
    near = np.exp(-np.array([0, 2]) / 0.5)  # a dog is two edges from a cat
    near /= near.sum()
    assert table["cat"][1] == pytest.approx(near[0])
    assert table["cat"][0] == pytest.approx(near[1])
    assert table["animal"] == pytest.approx({0: 0.5, 1: 0.5})
    assert "idea" not in table
    # Both senses of "dog" have the same key here, so both count 3: the second
    # is half as likely as the first, and a person.
    assert table["dog"][class_words.PERSON] == pytest.approx(1 / 3)
    assert table["dog"][0] == pytest.approx(2 / 3 * near[0])


def test_another_wordnet_is_the_users_error(tmp_path):
    _fabricated(tmp_path)
    with pytest.raises(UserError, match="lacks the synset n99999999"):
        wordnet.build(tmp_path, ["n99999999"])
    with pytest.raises(UserError, match="cannot read"):
        wordnet.build(tmp_path / "none", [])
