"""Another model costs a class, one line and a flagfile."""

import json
import subprocess
import sys

import numpy as np
import one_layer
import pytest
import small_records

import keras_vas
from keras_vas.data import records
from keras_vas.evaluation import protocol
from keras_vas.export import saved_model
from keras_vas.models import registry
from keras_vas.runs import run as run_directory

FLAGFILE = """
--model=one
--channels=6
--epochs=1
--batch_size=4
--frame_height=64
--frame_width=64
--validation_fraction=0
"""


@pytest.fixture
def run(repository, tmp_path, monkeypatch):
    """A run of the model by train.py, on the records beside it."""
    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))
    one_layer.register()
    data = small_records.write_drawn(tmp_path / "records", train=4, test=2)
    flagfile = tmp_path / "one.flags"
    flagfile.write_text(FLAGFILE)
    done = subprocess.run(
        [
            sys.executable, "tests/helpers/one_layer.py", "train.py",
            f"--flagfile={flagfile}", f"--data={data}",
            f"--workdir={tmp_path / 'run'}",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return tmp_path / "run"


def test_it_trains_evaluates_exports_and_segments(run, tmp_path):
    config = run_directory.read_config(run)
    assert config["architecture"] == "one"
    assert config["model"]["channels"] == config["flags"]["channels"] == 6
    model, vocabulary, _ = run_directory.load_run(run)
    report = protocol.evaluate(
        model,
        vocabulary,
        records.read_index(tmp_path / "records", "test"),
        tmp_path / "evaluation",
        height=64,
        width=64,
        batch_size=4,
    )
    assert report["samples"] > 4
    assert 0 <= report["mean_iou"] <= 1
    folder = saved_model.saved_model(
        run, tmp_path / "one", saved_model.Variant(64, 64)
    )
    card = json.loads((folder / "assets.extra/model_card.json").read_text())
    assert card["architecture"] == "not published"
    file = saved_model.keras_file(run, tmp_path / "one.keras")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (3, 64, 64, 3), np.uint8)
    found = [
        keras_vas.load(path).segment(frames, ["the red square", "a circle"])
        for path in (run, folder, file)
    ]
    assert found[0].masks.shape == (3, 2, 64, 64)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].masks, other.masks)


def test_a_config_without_a_name_is_cstm():
    assert registry.name_of({"model": {}}) == "cstm"
    assert registry.model_class("cstm") is keras_vas.CSTM
    with pytest.raises(ValueError, match=r"one of cstm.*model=none"):
        registry.model_class("none")
