"""The learning rate and Adam, against their formulas and Keras' Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vas import CSTM
from keras_vas.training import settings
from keras_vas.training.learning_rate import LearningRate
from keras_vas.training.optimizer import Adam
from keras_vas.training.steps import DistributedSteps


def constant(rate):
    return LearningRate(rate, "step", 100, 1000)


def variables():
    layer = keras.layers.Dense(3, name="layer")
    layer.build((None, 4))
    return [layer.kernel, layer.bias]


def gradients(step, variables):
    rng = np.random.default_rng(step)
    return [
        tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables
    ]


def test_step_schedule_divides_by_ten():
    rate = LearningRate(5e-4, "step", total_steps=24, decay_steps=8)
    found = [float(rate(step)) for step in (0, 7, 8, 15, 16, 23)]
    expected = [5e-4, 5e-4, 5e-5, 5e-5, 5e-6, 5e-6]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cosine_schedule_with_warmup():
    rate = LearningRate(1.0, "cosine", 20, 8, warmup_steps=4)
    found = [float(rate(step)) for step in (0, 1, 3, 4, 12, 20)]
    np.testing.assert_allclose(found, [0.25, 0.5, 1, 1, 0.5, 0], atol=1e-6)


def test_schedule_survives_its_config():
    rate = LearningRate(1.0, "cosine", 20, 8, warmup_steps=4)
    assert float(LearningRate.from_config(rate.get_config())(9)) == float(
        rate(9)
    )
    with pytest.raises(ValueError, match="kind=linear"):
        LearningRate(1.0, "linear", 20, 8)


def test_adam_equals_keras():
    ours, theirs = variables(), variables()
    for own, other in zip(ours, theirs, strict=True):
        other.assign(own.numpy())
    optimizer = Adam(ours, constant(0.01), clip_norm=1.0, weight_decay=0.1)
    reference = keras.optimizers.Adam(
        0.01, global_clipnorm=1.0, weight_decay=0.1
    )
    reference.exclude_from_weight_decay(var_names=["bias"])
    for step in range(5):
        given = gradients(step, ours)
        norm = optimizer.apply(given)
        assert float(norm) == pytest.approx(
            np.sqrt(sum((g.numpy() ** 2).sum() for g in given)), rel=1e-5
        )
        reference.apply_gradients(zip(given, theirs, strict=True))
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own.numpy(), other.numpy(), atol=1e-6)


def test_average_follows_the_weights():
    own = variables()
    optimizer = Adam(own, constant(0.1), ema=0.5)
    average = np.zeros((4, 3))
    for step in range(15):
        optimizer.apply(gradients(step, own))
        momentum = min(0.5, step / (step + 10))
        average = momentum * average + (1 - momentum) * own[0].numpy()
    found = optimizer.averages()[own[0].path].numpy()
    np.testing.assert_allclose(found, average, atol=1e-6)
    assert optimizer.state["step"].numpy() == 15


def test_loss_scale_halves_on_overflow_and_that_step_changes_nothing():
    own = variables()
    optimizer = Adam(own, constant(0.1), loss_scaling=True)
    apply = tf.function(optimizer.apply)
    before = own[0].numpy()
    apply([g * np.inf for g in gradients(0, own)])
    np.testing.assert_array_equal(own[0].numpy(), before)
    assert float(optimizer.scale()) == 2.0**14
    assert optimizer.state["step"].numpy() == 0
    scaled = [g * optimizer.scale() for g in gradients(1, own)]
    norm = apply(scaled)
    assert float(norm) == pytest.approx(
        float(tf.linalg.global_norm(gradients(1, own))), rel=1e-5
    )
    expected = variables()
    expected[0].assign(before)
    expected[1].assign(np.zeros(3))
    Adam(expected, constant(0.1)).apply(gradients(1, expected))
    np.testing.assert_allclose(own[0].numpy(), expected[0].numpy(), atol=1e-6)

    optimizer.state["good_steps"].assign(1999)
    apply(scaled)
    assert float(optimizer.scale()) == 2.0**15
    assert optimizer.state["good_steps"].numpy() == 0


def test_sentences_that_share_a_clip_train_alike():
    """Shared frames give the update that repeated frames give."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 8, 64, 64, 3), np.uint8)
    batch = {
        "tokens": rng.integers(1, 9, (6, 20)).astype(np.int32),
        "mask": rng.integers(0, 2, (6, 64, 64, 1)).astype(np.float32),
        "sample": np.arange(6),
    }
    results = []
    for sentences in (1, 2):
        keras.utils.set_random_seed(3)
        model = CSTM(
            vocabulary_size=9, width=0.125, decoder_channels=64,
            cmam_stages=(4, 5), coordinate_fusion="linear",
            encoders="spatial", spatial_backbone="resnet50",
        )  # fmt: skip
        steps = DistributedSteps(
            tf.distribute.get_strategy(),
            model,
            Adam(
                model.trainable_variables,
                constant(0.001),
                clip_norm=1.0,
            ),
            batch_size=6,
            objective=settings.Objective("bce"),
            sentences_per_clip=sentences,
        )
        clips = frames if sentences == 2 else frames.repeat(2, axis=0)
        table, _, norm = steps.train({"frames": tf.constant(clips)} | {
            name: tf.constant(value) for name, value in batch.items()
        })  # fmt: skip
        statistics = {
            v.path: v.numpy()
            for v in model.variables
            if v.path.endswith("moving_mean")
        }
        results.append((table.numpy(), float(norm), statistics))
    (table, norm, means), (shared_table, shared_norm, shared_means) = results
    np.testing.assert_allclose(shared_table[:, 0], table[:, 0], rtol=1e-3)
    np.testing.assert_allclose(shared_table[:, 1:], table[:, 1:], atol=9)
    np.testing.assert_allclose(shared_norm, norm, rtol=1e-2)
    assert means.keys() == shared_means.keys()
    assert len(means) > 50
    for path, mean in means.items():
        np.testing.assert_allclose(shared_means[path], mean, atol=1e-4)
