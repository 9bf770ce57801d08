"""What a model says about itself before it works."""

import json
import shutil
import types

import pytest
import small_run

import keras_vas
from keras_vas import presets
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models.segmentation_model import SegmentationModel
from keras_vas.prediction import about
from keras_vas.runs import run as run_directory
from keras_vas.weights.cache import VARIABLE

DRAWN = {
    "dataset": "moving_actors",
    "splits": {"train": {"videos": 7500, "queries": 12, "shards": []}},
}
REAL = {
    "dataset": "a2d_sentences",
    "splits": {"train": {"videos": 90, "queries": 450}, "test": {}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run.make(tmp_path_factory.mktemp("runs") / "mine")


def describe(run, manifest, folder):
    run = shutil.copytree(run, folder / "mine")
    config = run_directory.read_config(run) | {"data_manifest": manifest}
    (run / "config.json").write_text(json.dumps(config))
    return keras_vas.load(run).about


@pytest.mark.parametrize(
    ("manifest", "said", "real"),
    [
        ({}, "its data is unknown", False),
        (
            DRAWN,
            "trained on drawn shapes of moving_actors (7,500 videos, 12 "
            "sentences)",
            False,
        ),
        (
            {"parts": [REAL, DRAWN]},
            "trained on a2d_sentences (90 videos, 450 sentences) and drawn "
            "shapes of moving_actors (7,500 videos, 12 sentences)",
            True,
        ),
    ],
)
def test_a_run_says_what_it_was_trained_on(run, manifest, said, real, tmp_path):
    found = describe(run, manifest, tmp_path)
    assert str(found) == f"mine (CSTM): {said}; 7 words."
    assert found.real == real
    parts = run_directory.trained_on(manifest)
    assert run_directory.trained_on({"parts": parts}) == parts


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {"parts": 3},
        {"dataset": "a"},
        {"dataset": "a", "splits": {"train": {"videos": "many"}}},
    ],
)
def test_an_edited_record_is_one_line(run, manifest, tmp_path):
    with pytest.raises(UserError, match="trained on cannot be read") as caught:
        describe(run, manifest, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_export_says_what_its_card_says(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    card = {"name": "cstm", "architecture": "CSTM (2021)", "data": REAL}
    (tmp_path / about.CARD).write_text(json.dumps(card))
    found = about.of_export("1", tmp_path, Vocabulary(["dog"]))
    assert str(found) == (
        "cstm (CSTM (2021)): trained on a2d_sentences (90 videos, 450 "
        "sentences); 1 words."
    )
    assert found.real
    without = about.of_export("1", tmp_path / "assets.extra")
    assert str(without) == (
        "1 (a SavedModel): its data is unknown; unknown words."
    )


def test_a_preset_says_what_its_card_says():
    for name, preset in presets.PRESETS.items():
        words = types.SimpleNamespace(words=range(2000))
        found = about.of_preset(name, preset, SegmentationModel, words)
        assert preset.data in str(found)
        assert "2,000 words" in str(found)
        assert found.real == (name == "cstm_davis")


def test_words_that_are_not_known_are_listed_once(run):
    predictor = keras_vas.load(run)
    asked = ["the bright squirrel", "a SQUIRREL on the moon", "the " * 21]
    assert predictor.unknown_words(asked) == ["squirrel", "moon"]
    assert predictor.unknown_words("a dark square") == []
    assert predictor.unknown_words("the " * 20 + "moon") == []  # is not read
    assert predictor.warnings(["a dark square"]) == []
    assert predictor.warnings(asked) == [
        "It does not know: squirrel, moon.",
        f'It reads only the first 20 words of: "{("the " * 21)[:60]}"',
    ]


def test_a_shipped_preset_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    predictor = keras_vas.load("moving_actors")
    assert str(predictor.about).startswith("moving_actors (CSTM): trained on")
    assert str(predictor.about).endswith("; 64 words.")
    assert predictor.unknown_words("the dog is red") == ["dog"]
