"""A training step on JAX: forward, gradient, Adam, average of the weights."""

import jax
import keras
import numpy as np
from jax import numpy as jnp

from keras_vas import losses
from keras_vas.models.variables import model_variables


class JaxSteps:
    """Pure steps over the state of a model: its arrays, and Adam's.

    Args:
        model: `SegmentationModel` on Keras' JAX backend; its own arrays are
            used up by the first step.
        optimization: `settings.Optimization`.
        objective: `settings.Objective`.
        epochs: int, of the whole training.
        steps_per_epoch: int.

    Attributes:
        state: dict of JAX arrays and lists of them.
    """

    def __init__(
        self,
        model,
        optimization,
        objective,
        *,
        epochs,
        steps_per_epoch,
    ):
        self.model = model
        self._paths = list(model_variables(model))
        self.ema = optimization.ema
        self.objective = objective
        self.optimizer = keras.optimizers.AdamW(
            optimization.rate(epochs, steps_per_epoch),
            weight_decay=optimization.weight_decay,
            global_clipnorm=optimization.clip_norm or None,
        )
        self.optimizer.exclude_from_weight_decay(
            var_list=[
                v
                for v in model.trainable_variables
                if not v.path.endswith("kernel")
            ]
        )
        self.optimizer.build(model.trainable_variables)
        trainable = [v.value for v in model.trainable_variables]
        self.state = {
            "trainable": trainable,
            "other": [v.value for v in model.non_trainable_variables],
            "optimizer": [v.value for v in self.optimizer.variables],
            "average": [jnp.copy(value) for value in trainable],
            "step": jnp.zeros((), jnp.float32),
        }
        self._update = jax.jit(self._update_state, donate_argnums=0)
        self._evaluate = jax.jit(self._table_of)

    def update(self, batch):
        """Takes one step.

        Args:
            batch: dict as `ClipPack.batch` makes it.

        Returns:
            float32 (batch, 3): for each sample its loss, and the numbers of
            pixels in both truth and prediction and in either.
        """
        self.state, table = self._update(self.state, batch)
        return table

    def evaluate(self, batch):
        """Like `update`, but changes nothing; with the averaged weights."""
        return self._evaluate(self.state["average"], self.state["other"], batch)

    def arrays(self):
        """Dict of variable path to NumPy array, the averaged weights."""
        variables = [
            *self.model.trainable_variables,
            *self.model.non_trainable_variables,
        ]
        values = [*self.state["average"], *self.state["other"]]
        found = {
            variable.path: np.asarray(value)
            for variable, value in zip(variables, values, strict=True)
        }
        return {path: found[path] for path in self._paths}

    def _update_state(self, state, batch):
        def loss(trainable):
            outputs, other = self._forward(
                trainable, state["other"], batch, training=True
            )
            each = self._losses(outputs, batch)
            return jnp.mean(each), (_table(outputs, batch, each), other)

        gradients, (table, other) = jax.grad(loss, has_aux=True)(
            state["trainable"]
        )
        trainable, optimizer = self.optimizer.stateless_apply(
            state["optimizer"], gradients, state["trainable"]
        )
        step = state["step"]
        change = 1.0 - jnp.minimum(self.ema, step / (step + 10.0))
        average = [
            old + change * (new - old)
            for old, new in zip(state["average"], trainable, strict=True)
        ]
        return {
            "trainable": trainable,
            "other": other,
            "optimizer": optimizer,
            "average": average,
            "step": step + 1.0,
        }, table

    def _table_of(self, trainable, other, batch):
        outputs, _ = self._forward(trainable, other, batch, training=False)
        outputs = {"mask_logits": outputs["mask_logits"]}
        return _table(outputs, batch, self._losses(outputs, batch))

    def _forward(self, trainable, other, batch, training):
        inputs = {"frames": batch["frames"], "tokens": batch["tokens"]}
        outputs, other = self.model.stateless_call(
            trainable, other, inputs, training=training
        )
        outputs = {k: v.astype("float32") for k, v in outputs.items()}
        return outputs, other

    def _losses(self, outputs, batch):
        return losses.segmentation_loss(
            outputs,
            batch["mask"].astype("float32"),
            kind=self.objective.loss,
            positive_weight=self.objective.positive_weight,
        )


def _table(outputs, batch, each):
    truth = batch["mask"] > 0
    prediction = outputs["mask_logits"] > 0
    intersection = jnp.sum(truth & prediction, axis=(1, 2, 3))
    union = jnp.sum(truth | prediction, axis=(1, 2, 3))
    return jnp.stack([each, intersection, union], axis=1)
