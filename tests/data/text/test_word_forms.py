"""Stems and forms of verbs."""

import pytest

from keras_vas.data.text import word_forms

KNOWN = set(
    """play plays playing ride rides riding rid run runs running bake baking
    sing singe singing ski skiing use us using open opening dance dancing
    catch catches catching cricket king""".split()
)


@pytest.mark.parametrize(
    ("word", "verb"),
    [
        ("playing", "play"), ("riding", "ride"), ("running", "run"),
        ("baking", "bake"), ("singing", "sing"), ("skiing", "ski"),
        ("using", "use"), ("opening", "open"), ("dancing", "dance"),
        ("catching", "catch"), ("cricket", "cricket"), ("king", "king"),
        ("zorbing", "zorbing"), ("ing", "ing"),
    ],
)  # fmt: skip
def test_stems(word, verb):
    assert word_forms.stem(word, KNOWN.__contains__) == verb


def test_forms_are_those_that_are_known():
    forms = {
        word: word_forms.forms(word, KNOWN.__contains__)
        for word in ("playing", "catching", "cricket", "unheard", "zorbing")
    }
    assert forms == {
        "playing": ["playing", "play", "plays"],
        "catching": ["catching", "catch", "catches"],
        "cricket": ["cricket"],
        "unheard": [],
        "zorbing": [],
    }
