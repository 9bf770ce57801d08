"""Packed clips, trained on JAX without TensorFlow, and back in TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import plain_backbones
import pytest
import small_records
import tensorflow as tf

from keras_vas import backbones, losses
from keras_vas.data import pipeline, records, transforms
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.data.training_split import sentences
from keras_vas.errors import UserError
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training.on_jax import pack_clips
from keras_vas.training.on_jax.clip_pack import ClipPack

SIZE = {"height": 32, "width": 32}
FLAGS = [
    "--spatial_backbone=plain", "--temporal_backbone=plain", "--cmam_stages=5",
    "--coordinate_fusion=linear", "--decoder_channels=16", "--key_channels=16",
    "--text_channels=16", "--embedding_dim=4", "--batch_size=8", "--epochs=2",
    "--learning_rate=0.003", "--clip_norm=1", "--ema=0.9",
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = small_records.write_drawn(tmp_path_factory.mktemp("r"), train=7)
    return records.read_index(folder, "train")


@pytest.fixture(scope="module")
def words(index):
    return Vocabulary.build(sentences(index))


@pytest.fixture(scope="module")
def packs(index, words, tmp_path_factory):
    """Files of five clips to train on and two to choose by."""
    folder = tmp_path_factory.mktemp("packs")
    vectors = np.random.default_rng(0).normal(size=(len(words), 4))
    for name, part in (("train", range(5)), ("validation", range(5, 7))):
        chosen = index.subset(np.array(part))
        pack = pack_clips.pack(chosen, words, vectors.astype("float32"), **SIZE)
        pack.save(folder / f"{name}.npz")
    return folder


def train(workdir, packs, *more):
    script = pathlib.Path(__file__).parents[1] / (
        "helpers/train_jax_without_tensorflow.py"
    )
    command = [
        sys.executable,
        str(script),
        *FLAGS,
        f"--workdir={workdir}",
        f"--clips={packs / 'train.npz'}",
        f"--validation_clips={packs / 'validation.npz'}",
        *map(str, more),
    ]
    # Quick to compile rather than to run.
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="module")
def run(packs, tmp_path_factory):
    """A run trained on JAX, in a process that cannot import TensorFlow."""
    workdir = tmp_path_factory.mktemp("jax") / "run"
    done = train(workdir, packs)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "samples/s" in done.stdout
    return workdir


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setitem(
        backbones.SPATIAL_BACKBONES, "plain", plain_backbones.Plain
    )
    monkeypatch.setitem(
        backbones.TEMPORAL_BACKBONES, "plain", plain_backbones.PlainClip
    )


def test_a_pack_holds_the_samples_of_the_pipeline(index, words):
    pack = pack_clips.pack(index, words, np.zeros((0, 0), "float32"), **SIZE)
    assert len(pack) == index.num_samples
    assert len(pack.frames) == len(index) < len(pack)
    assert pack.words.tolist() == list(words.words)
    checked = 0
    for batch in pipeline.evaluation_dataset(
        index, words, **SIZE, batch_size=4
    ):
        rows = batch["weight"].numpy() > 0
        packed = pack.batch(batch["sample"].numpy()[rows])
        for name in ("frames", "tokens", "mask"):
            np.testing.assert_array_equal(packed[name], batch[name][rows])
        checked += rows.sum()
    assert checked == len(pack)


def test_a_pack_with_augmentation_holds_every_pass(index, words):
    pack = pack_clips.pack(
        index,
        words,
        np.zeros((0, 0), "float32"),
        **SIZE,
        seed=5,
        passes=2,
        augmentation=transforms.Augmentation(flip=0.5, crop=0.3),
    )
    count = index.num_samples
    assert len(pack) == len(pack.frames) == 2 * count
    batches = pipeline.training_dataset(
        index,
        words,
        **SIZE,
        batch_size=1,
        seed=5,
        epochs=2,
        augmentation=transforms.Augmentation(flip=0.5, crop=0.3),
    )
    for sample, batch in enumerate(batches):
        packed = pack.batch(np.array([sample]))
        np.testing.assert_array_equal(packed["frames"], batch["frames"])
        np.testing.assert_array_equal(packed["mask"], batch["mask"])
    assert sample == 2 * count - 1


def test_a_run_of_jax_is_the_same_model_in_tensorflow(run, packs, plain):
    model, vocabulary, config = run_directory.load_run(run)
    pack = ClipPack.load(packs / "validation.npz")
    assert vocabulary.words == tuple(pack.words.tolist())
    assert config["flags"]["frame_height"] == 32
    assert not config["model"]["deep_supervision"]
    assert config["data_manifest"]["splits"]["train"]["videos"] == 7
    embedding = model.get_layer("word_embedding").get_weights()[0]
    np.testing.assert_array_equal(embedding, pack.word_vectors)

    report = json.loads((run / "jax_training.json").read_text())
    assert len(report["epochs"]) == 2
    assert report["peak_bytes"] > 2**20
    _, metadata = checkpoint.load(run_directory.best_path(run))
    best = metadata["best"]
    said = report["epochs"][best["epoch"] - 1]["validation"]
    assert {**said, "epoch": best["epoch"]} == best

    batch = pack.batch(np.arange(len(pack)))
    inputs = {name: batch[name] for name in ("frames", "tokens")}
    logits = model(inputs)["mask_logits"]
    assert isinstance(logits, tf.Tensor)
    logits = logits.numpy()
    loss = losses.segmentation_loss(
        {"mask_logits": logits}, batch["mask"].astype("float32")
    )
    truth, predicted = batch["mask"] > 0, logits > 0
    axes = (1, 2, 3)
    union = (truth | predicted).sum(axes)
    iou = (truth & predicted).sum(axes) / union
    assert np.mean(loss) == pytest.approx(best["loss"], rel=1e-4)
    assert iou.mean() == pytest.approx(best["mean_iou"], abs=2e-3)


def test_frozen_encoders_stay_and_bfloat16_trains(run, packs, tmp_path):
    done = train(
        tmp_path / "again",
        packs,
        f"--init_run={run}",
        "--freeze=encoders",
        "--precision=bfloat16",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    before, _ = checkpoint.load(run_directory.best_path(run))
    after, _ = checkpoint.load(run_directory.best_path(tmp_path / "again"))
    assert before.keys() == after.keys()
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert all(name.startswith("decoder_") for name in changed)
    assert len(changed) > 20
    assert {array.dtype.name for array in after.values()} == {"float32"}
    report = json.loads((tmp_path / "again" / "jax_training.json").read_text())
    assert report["precision"] == "bfloat16"
    for epoch in report["epochs"]:
        assert np.isfinite(epoch["training"]["loss"])

    again = train(run, packs)
    assert again.returncode == 1
    assert "holds a run already" in again.stderr


def test_files_that_are_no_packs_are_named(packs, tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        ClipPack.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", frames=np.zeros(3))
    whole = (packs / "train.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("other.npz", "cut.npz"):
        with pytest.raises(UserError, match=name):
            ClipPack.load(tmp_path / name)
