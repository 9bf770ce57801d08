"""A run as one small file, and that file as a run again."""

import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pytest
import small_run
import tensorflow as tf

from keras_vas import presets, weights
from keras_vas.errors import UserError
from keras_vas.models.variables import model_variables
from keras_vas.presets import preset_file, registry
from keras_vas.runs import run as run_directory
from keras_vas.weights.cache import VARIABLE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = small_run.make(tmp_path_factory.mktemp("run"))
    config = run_directory.read_config(run)
    config["flags"]["freeze"] = "backbones"
    (run / "config.json").write_text(json.dumps(config))
    return run


@pytest.fixture
def published(run, monkeypatch, tmp_path):
    """The run's backbone as weights that are published, and an own cache."""
    with np.load(run_directory.best_path(run)) as stored:
        backbone = {
            k: stored[k] for k in stored.files if k.startswith("temporal_back")
        }

    def assign(model, part, found):
        for path, array in found.backbone.items():
            model_variables(model)[path].assign(array)

    found = types.SimpleNamespace(backbone=backbone, arrays={})
    monkeypatch.setattr(weights, "assign", assign)
    monkeypatch.setattr(weights, "load", lambda *arguments: found)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return found


def _logits(run):
    model, vocabulary, _ = run_directory.load_run(run)
    frames = np.random.default_rng(3).uniform(0, 255, (1, 8, 32, 64, 3))
    tokens = vocabulary.encode(["the bright square"])
    inputs = {"frames": tf.constant(frames, tf.float32), "tokens": tokens}
    return np.array(model(inputs, training=False)["mask_logits"])


def test_a_preset_gives_the_masks_of_its_run(run, published, tmp_path):
    path = tmp_path / "small.npz"
    preset_file.fold(run, path)
    with np.load(path) as stored:
        kept = set(stored.files)
        with np.load(run_directory.best_path(run)) as whole:
            sizes = {
                k: (stored[k].nbytes, whole[k].nbytes)
                for k in kept & set(whole.files)
            }
        assert all(2 * small == large for small, large in sizes.values())
    assert not any(name.startswith("temporal_backbone") for name in kept)
    unfolded = presets.run_of(path)
    assert unfolded.is_relative_to(tmp_path / "cache")
    probabilities, expected = (
        1 / (1 + np.exp(-_logits(x))) for x in (unfolded, run)
    )
    np.testing.assert_allclose(probabilities, expected, atol=1e-2)
    assert np.ptp(expected) > 0.1
    # The second time nothing is made.
    before = (unfolded / "config.json").stat().st_mtime_ns
    assert presets.run_of(path) == unfolded
    assert (unfolded / "config.json").stat().st_mtime_ns == before


def test_trained_backbones_are_stored_too(run, published, tmp_path):
    name = next(iter(published.backbone))
    published.backbone[name] = published.backbone[name] + 1
    path = tmp_path / "whole.npz"
    preset_file.fold(run, path)
    about, arrays = preset_file.read(path)
    assert about["backbones"] == {}
    assert about["config"]["data_manifest"] == {"parts": []}
    assert arrays.keys() == published.backbone.keys() | arrays.keys()
    probabilities, expected = (
        1 / (1 + np.exp(-_logits(x))) for x in (presets.run_of(path), run)
    )
    np.testing.assert_allclose(probabilities, expected, atol=1e-2)


def test_a_large_preset_is_not_written(run, published, tmp_path, monkeypatch):
    monkeypatch.setattr(preset_file, "LARGEST", 1000)
    with pytest.raises(UserError, match="at most"):
        preset_file.fold(run, tmp_path / "small.npz")
    assert not list(tmp_path.glob("*.npz"))


def test_what_is_no_preset_is_left_as_it_is(run, tmp_path):
    assert presets.run_of(run) == run
    assert presets.run_of("runs/mine") == "runs/mine"


@pytest.mark.parametrize("damage", ["cut", "version", "other"])
def test_damaged_presets_are_the_users_error(run, published, tmp_path, damage):
    path = tmp_path / "small.npz"
    preset_file.fold(run, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif damage == "other":
        np.savez(path, words=np.zeros(3))
    else:
        with np.load(path) as stored:
            arrays = dict(stored)
        about = json.loads(arrays["about"].tobytes()) | {"version": 99}
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez(path, **(arrays | {"about": text}))
    with pytest.raises(UserError) as raised:
        presets.run_of(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").rglob("config.json"))


def test_another_checksum_is_the_users_error(
    run, published, tmp_path, monkeypatch
):
    path = tmp_path / "mine.npz"
    preset_file.fold(run, path)
    card = {f.name: "" for f in dataclasses.fields(registry.Preset)}
    known = {"mine": registry.Preset(**card | {"sha256": "0" * 64})}
    monkeypatch.setattr(registry, "PRESETS", known)
    monkeypatch.setattr(registry, "path_of", lambda name: path)
    with pytest.raises(UserError, match="another checksum"):
        registry.run_of("mine")


def test_shipped_presets_are_whole_and_small():
    for name, preset in presets.PRESETS.items():
        path = registry.path_of(name)
        assert path.stat().st_size < 20e6
        assert registry.digest(path) == preset.sha256
        about, arrays = preset_file.read(path)
        assert set(about["backbones"].values()) <= weights.REGISTRY.keys()
        assert all(np.isfinite(x).all() for x in arrays.values())


def test_the_list_names_every_preset():
    said = subprocess.run(
        [sys.executable, "-m", "keras_vas.presets", "list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, preset in presets.PRESETS.items():
        assert name in said
        assert preset.licence in said
