"""A lesson that goes on while a model trains."""

import numpy as np
import pytest
import small_model
import tensorflow as tf

from keras_vas.losses import segmentation_loss
from keras_vas.runs import checkpoint
from keras_vas.training import settings

WEIGHT = 0.3


class Pull:
    """Draws a kernel of a model to what a step says."""

    def __init__(self, model):
        self.kernel = model.get_layer("decoder_gate").kernel

    def loss_of_step(self, step):
        aim = tf.random.stateless_uniform(
            self.kernel.shape, tf.stack([tf.constant(5, tf.int64), step])
        )
        return tf.reduce_sum((self.kernel.value - aim) ** 2)


def trainer(run, weight=WEIGHT, **options):
    return small_model.trainer(
        run, lesson=Pull, names_weight=weight, epochs=3, **options
    )


def weights_after(training):
    training.train()
    return checkpoint.read(training._model_variables)


def test_without_weight_training_is_as_without_a_lesson(tmp_path):
    without = weights_after(small_model.trainer(tmp_path / "a", epochs=3))
    off = weights_after(trainer(tmp_path / "b", weight=0.0))
    on = weights_after(trainer(tmp_path / "c"))
    for path, array in without.items():
        np.testing.assert_array_equal(off[path], array)
    gate = next(path for path in on if path.startswith("decoder_gate"))
    assert not np.allclose(on[gate], without[gate])


@pytest.mark.parametrize("weight", [WEIGHT, 0.0])
def test_the_gradient_is_that_of_the_weighted_sum(tmp_path, weight):
    training = trainer(tmp_path, weight)
    model = training.steps.model
    arrays = {k: v[:4] for k, v in small_model.data().items()}
    with tf.GradientTape() as tape:
        outputs = model(
            {"frames": arrays["frames"], "tokens": arrays["tokens"]},
            training=True,
        )
        loss = tf.reduce_mean(segmentation_loss(outputs, arrays["mask"]))
        loss += weight * Pull(model).loss_of_step(tf.constant(0, tf.int64))
    variables = [v.value for v in model.trainable_variables]
    gradients = map(tf.convert_to_tensor, tape.gradient(loss, variables))
    expected = float(tf.linalg.global_norm(list(gradients)))

    fresh = trainer(tmp_path, weight)
    batch = next(iter(fresh._distribute(fresh._training_part)))
    table, _, norm = fresh.steps.train(batch)
    assert float(norm) == pytest.approx(expected, rel=1e-4)
    # what is reported is the masks' loss alone
    each = segmentation_loss(outputs, arrays["mask"])
    np.testing.assert_allclose(table[:, 0], each, rtol=1e-4)


def test_the_lesson_resumes_within_an_epoch(tmp_path):
    whole = trainer(tmp_path / "whole")
    best = whole.train()
    part = trainer(tmp_path / "part")
    batches = iter(part._distribute(part._training_part))
    with part._progress_bar() as bar:
        for _ in range(3):
            part._end_step(*part._take_step(next(batches)), bar)
    resumed = trainer(tmp_path / "part")
    resumed.restore()
    assert resumed.step == 3
    assert resumed.train() == best
    expected = checkpoint.read(whole._model_variables)
    for path, variable in resumed._model_variables.items():
        np.testing.assert_allclose(variable.numpy(), expected[path], atol=1e-6)


def test_weight_and_names_belong_together():
    with pytest.raises(ValueError, match="needs --spatial_names"):
        settings.Beginning().check_names(0.1)
    with pytest.raises(ValueError, match="with it, names serve"):
        settings.Beginning(init_run="R", spatial_names="wordnet").check_names(0)
    with pytest.raises(ValueError, match="--names_weight=-1"):
        settings.Objective(names_weight=-1)
    settings.Beginning(spatial_names="wordnet").check_names(0)
    settings.Beginning(init_run="R", temporal_names="f").check_names(0.1)
