"""The loop: sums, NaN, frozen encoders, resuming, overfitting."""

import json

import keras
import numpy as np
import pytest
import small_model
import tensorflow as tf

from keras_vas import CSTM
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import distribution, fine_tuning, optimizer, settings
from keras_vas.training import trainer as training_loop
from keras_vas.training.learning_rate import LearningRate
from keras_vas.training.steps import DistributedSteps
from keras_vas.training.totals import Totals


def test_totals_are_weighted_sums_over_samples():
    totals = Totals()
    totals.add([[1.0, 10, 20, 1], [2.0, 0, 0, 1], [99.0, 5, 5, 0]])
    totals.add([[6.0, 30, 40, 1]])
    assert totals.samples == 3
    assert totals.metrics() == pytest.approx(
        {"loss": 3.0, "mean_iou": (0.5 + 1 + 0.75) / 3, "overall_iou": 40 / 60}
    )


def test_losses_and_metrics_of_the_first_step(tmp_path):
    trainer = small_model.trainer(tmp_path)
    arrays = {k: v[:4] for k, v in small_model.data().items()}
    outputs = trainer.steps.model(
        {"frames": arrays["frames"], "tokens": arrays["tokens"]}, training=True
    )
    fine = np.asarray(outputs["mask_logits"], np.float64)
    coarse = np.asarray(outputs["mask_logits_p2"], np.float64)
    target = arrays["mask"].reshape(4, 8, 4, 8, 4, 1).mean((2, 4))

    def bce_dice(logits, truth):
        p = 1 / (1 + np.exp(-logits))
        bce = -(1.5 * truth * np.log(p) + (1 - truth) * np.log(1 - p))
        overlap, total = (x.sum((1, 2, 3)) for x in (p * truth, p + truth))
        return bce.mean((1, 2, 3)) + 1 - (2 * overlap + 1) / (total + 1)

    trainer = small_model.trainer(tmp_path)
    batch = next(iter(trainer._distribute(trainer._training_part)))
    table, samples, _ = trainer.steps.train(batch)
    expected = bce_dice(fine, arrays["mask"]) + bce_dice(coarse, target)
    np.testing.assert_allclose(table[:, 0], expected, rtol=1e-5)
    truth = arrays["mask"] > 0.5
    np.testing.assert_array_equal(
        table[:, 1], (truth & (fine > 0)).sum((1, 2, 3))
    )
    np.testing.assert_array_equal(
        table[:, 2], (truth | (fine > 0)).sum((1, 2, 3))
    )
    np.testing.assert_array_equal(samples, [0, 1, 2, 3])


def test_best_checkpoint_holds_the_averaged_weights(tmp_path):
    trainer = small_model.trainer(tmp_path, epochs=1)
    best = trainer.train()
    last, metadata = checkpoint.load(run_directory.last_path(tmp_path))
    arrays, _ = checkpoint.load(run_directory.best_path(tmp_path))
    assert metadata["best"] == best
    assert best["epoch"] == 1
    averages = trainer.steps.optimizer.averages()
    assert len(averages) == 10
    for path in averages:
        average = last[f"optimizer/{path}/average"]
        np.testing.assert_array_equal(arrays[path], average)
        np.testing.assert_array_equal(
            last[path], trainer._model_variables[path].numpy()
        )
        assert not np.array_equal(last[path], average)
    assert not any(name.startswith("optimizer/") for name in arrays)


def test_nan_names_the_samples_and_keeps_the_last_good_checkpoint(tmp_path):
    arrays = small_model.data()
    arrays["mask"][5] = np.nan
    trainer = small_model.trainer(
        tmp_path,
        arrays=arrays,
        sample_ids=lambda samples: [f"toy/video/{s}" for s in samples],
    )
    with pytest.raises(UserError, match=r"at step 2; samples: toy/video/5;"):
        trainer.train()
    arrays, metadata = checkpoint.load(run_directory.last_path(tmp_path))
    assert metadata["step"] == 1
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_frozen_encoder_does_not_change(tmp_path):
    trainer = small_model.trainer(tmp_path, frozen=True)
    before = checkpoint.read(trainer._model_variables)
    trainer.train()
    changed = {
        path
        for path, variable in trainer._model_variables.items()
        if not np.array_equal(before[path], variable.numpy())
    }
    assert len(before) == 12
    assert changed == {path for path in before if path.startswith("decoder_")}


def test_freezing_cstm_leaves_the_decoder():
    model = CSTM(vocabulary_size=9, width=0.125, train_embeddings=True)
    fine_tuning.freeze(model, "encoders")
    trained = [variable.path for variable in model.trainable_variables]
    assert len(trained) > 20
    assert all(path.startswith("decoder_") for path in trained)
    encoder = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        and any(
            v.path.startswith(("spatial_", "temporal_"))
            for v in layer.variables
        )
    ]
    assert len(encoder) > 150
    assert not any(layer.trainable for layer in encoder)


def test_freezing_the_backbones_leaves_text_cmams_and_decoder():
    model = CSTM(vocabulary_size=9, width=0.125)
    fine_tuning.freeze(model, "backbones")
    trained = {
        variable.path.split("/")[0] for variable in model.trainable_variables
    }
    assert not any("backbone" in name for name in trained)
    for part in (
        "spatial_text_gru",
        "temporal_cmam_1",
        "decoder_head_1_conv_1",
    ):
        assert part in trained
    frozen = {variable.path for variable in model.non_trainable_variables}
    assert sum("backbone" in path for path in frozen) > 400


def test_resumes_within_an_epoch(tmp_path):
    whole = small_model.trainer(tmp_path / "whole", epochs=3)
    best = whole.train()
    part = small_model.trainer(tmp_path / "part", epochs=3)
    batches = iter(part._distribute(part._training_part))
    with part._progress_bar() as bar:
        for _ in range(3):
            part._end_step(*part._take_step(next(batches)), bar)
    resumed = small_model.trainer(tmp_path / "part", epochs=3)
    resumed.restore()
    assert resumed.step == 3
    assert resumed.train() == best
    expected = checkpoint.read(whole._model_variables)
    for path, variable in resumed._model_variables.items():
        np.testing.assert_allclose(variable.numpy(), expected[path], atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_float32_weights(tmp_path, precision):
    keras.config.set_dtype_policy(precision)
    try:
        trainer = small_model.trainer(
            tmp_path, loss_scaling=precision == "mixed_float16"
        )
        best = trainer.train()
    finally:
        keras.config.set_dtype_policy("float32")
    layer = trainer.steps.model.get_layer("spatial_conv")
    assert layer.compute_dtype == precision.removeprefix("mixed_")
    assert {v.dtype for v in trainer.steps.model.variables} == {"float32"}
    expected = small_model.trainer(tmp_path / "float32").train()
    assert best["loss"] == pytest.approx(expected["loss"], abs=0.05)


def test_curves_and_pictures_are_written(tmp_path):
    picture = np.full((6, 5, 3), 200, np.uint8)
    trainer = small_model.trainer(
        tmp_path, tensorboard=True, draw_panel=lambda model: picture
    )
    trainer.train()
    events = list((tmp_path / "logs").glob("events*"))
    assert len(events) == 1
    tags = [
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events[0]))
        for value in event.summary.value
    ]
    assert tags.count("panel") == 2
    assert tags.count("validation/mean_iou") == 2
    assert tags.count("train/loss") == 2


def test_cstm_learns_eight_samples_by_heart(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.uniform(90, 255, (8, 8, 64, 64, 3)).astype(np.float32)
    mask = np.zeros((8, 64, 64, 1), np.float32)
    for i, (y, x) in enumerate(rng.integers(0, 40, (8, 2))):
        mask[i, y : y + 24, x : x + 20] = 1
        frames[i, :, y : y + 24, x : x + 20] *= 0.3
    arrays = {
        "frames": frames,
        "tokens": rng.integers(1, 9, (8, 20)).astype(np.int32),
        "mask": mask,
        "sample": np.arange(8),
        "weight": np.ones(8, np.float32),
    }
    dataset = tf.data.Dataset.from_tensors(arrays)
    strategy = distribution.make_strategy()
    keras.utils.set_random_seed(0)
    vocabulary = Vocabulary("abcdefg")
    config = {
        "vocabulary_size": len(vocabulary),
        "encoders": "spatial",
        "width": 0.125,
        "coordinate_fusion": "linear",
        "gate": "centred",
        "embedding_dim": 8,
        "train_embeddings": True,
    }
    with strategy.scope():
        model = CSTM(**config, deep_supervision=True)
        fine_tuning.set_statistics_momentum(model, 0.9)
        rate = LearningRate(4e-3, "cosine", 150, 1, 10)
        steps = DistributedSteps(
            strategy,
            model,
            optimizer.Adam(model.trainable_variables, rate, clip_norm=1.0),
            batch_size=8,
            objective=settings.Objective("bce_dice"),
        )
    trainer = training_loop.Trainer(
        steps,
        training_loop.Plan(epochs=1, steps_per_epoch=150, batch_size=8),
        tmp_path,
        training_data=lambda step, context: dataset.repeat(),
        validation_data=lambda context: dataset,
    )
    best = trainer.train()
    assert best["mean_iou"] > 0.9

    flags = {"frame_height": 64, "frame_width": 64}
    (tmp_path / "config.json").write_text(
        json.dumps({"flags": flags, "model": config})
    )
    vocabulary.save(tmp_path / "vocabulary.txt")
    loaded, words, _ = run_directory.load_run(tmp_path)
    assert words.words == vocabulary.words
    assert len(variables.training_only(model)) > 5
    assert len(loaded.variables) < len(model.variables)
    inputs = {"frames": frames, "tokens": arrays["tokens"]}
    found = np.asarray(loaded(inputs)["mask_logits"]) > 0
    truth = mask > 0.5
    iou = (found & truth).sum((1, 2, 3)) / (found | truth).sum((1, 2, 3))
    assert iou.mean() == pytest.approx(best["mean_iou"], abs=1e-3)
