"""The optimizer, its learning-rate schedule, and one distributed step."""

import keras
import tensorflow as tf
from keras import ops

from keras_vas.losses import segmentation_loss
from keras_vas.models import sentence_split

SCHEDULES = ("step", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@keras.saving.register_keras_serializable("keras_vas")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at a step.

    With s the step and w the warm-up steps, base * min(1, (s + 1) / w) times

    - "step":   0.1 ** floor(s / decay_steps)
    - "cosine": (1 + cos(pi * (s - w) / (total_steps - w))) / 2, 1 before w

    Args:
        base: float, the highest rate.
        kind: one of `SCHEDULES`.
        total_steps: int, steps of the whole training.
        decay_steps: int, steps after which "step" divides by ten, again and
            again.
        warmup_steps: int, steps of the linear warm-up; 0 for none.
    """

    def __init__(self, base, kind, total_steps, decay_steps, warmup_steps=0):
        if kind not in SCHEDULES:
            raise ValueError(
                f"kind is one of {SCHEDULES}. Received: kind={kind}"
            )
        self.base = base
        self.kind = kind
        self.total_steps = total_steps
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Returns the float32 rate of the int `step`, counted from 0."""
        done = ops.cast(step, "float32")
        if self.kind == "step":
            factor = 0.1 ** ops.floor(done / self.decay_steps)
        else:
            whole = max(self.total_steps - self.warmup_steps, 1)
            part = ops.clip((done - self.warmup_steps) / whole, 0.0, 1.0)
            factor = (1.0 + ops.cos(part * 3.141592653589793)) / 2.0
        if self.warmup_steps:
            factor *= ops.minimum(1.0, (done + 1.0) / self.warmup_steps)
        return self.base * factor

    def get_config(self):
        return {
            "base": self.base,
            "kind": self.kind,
            "total_steps": self.total_steps,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
        }


class Adam:
    """Adam for replicas that all hold the same, global gradient.

    At step t = 1, 2, ... with gradient g of a weight w:

        g <- g * min(1, clip_norm / norm of all gradients)
        w <- w - rate * weight_decay * w                (kernels only)
        m <- 0.9 m + 0.1 g,   v <- 0.999 v + 0.001 g^2
        w <- w - rate * sqrt(1 - 0.999^t) / (1 - 0.9^t) * m / (sqrt(v) + 1e-7)
        average <- d * average + (1 - d) * w,  d = min(ema, (t - 1) / (t + 9))

    Up to the ramp of d, this is `keras.optimizers.Adam`. That one takes some
    70 graph nodes for each variable, which is most of the time before the
    first step; here it is the fused kernel and no communication.

    With `loss_scaling` the loss is multiplied by a scale that halves when a
    gradient overflows (that step changes nothing) and doubles after 2,000
    steps without.

    Args:
        variables: the model's trainable `keras.Variable`s.
        rate: `LearningRate`.
        clip_norm: limit of the global gradient norm; 0 for none.
        weight_decay: 0 for none.
        ema: momentum of the average of the weights; 0 for no average.
        loss_scaling: bool, needed with float16.

    Attributes:
        state: dict of name to `tf.Variable`, all that a checkpoint needs.
    """

    def __init__(
        self,
        variables,
        rate,
        *,
        clip_norm=0.0,
        weight_decay=0.0,
        ema=0.0,
        loss_scaling=False,
    ):
        self.variables = list(variables)
        self.rate = rate
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.ema = ema
        self.loss_scaling = loss_scaling
        self.state = {"step": _state(tf.zeros((), tf.int64))}
        if loss_scaling:
            self.state["loss_scale"] = _state(tf.constant(2.0**15))
            self.state["good_steps"] = _state(tf.zeros((), tf.int64))
        for variable in self.variables:
            for name in ("m", "v", *(("average",) if ema else ())):
                self.state[f"{variable.path}/{name}"] = _state(
                    tf.zeros(variable.shape, variable.dtype)
                )

    @property
    def learning_rate(self):
        """The rate of the next step, a float."""
        return float(self.rate(self.state["step"].numpy()))

    def averages(self):
        """Dict of variable path to the `tf.Variable` of its average."""
        if not self.ema:
            return {}
        return {
            variable.path: self.state[f"{variable.path}/average"]
            for variable in self.variables
        }

    def scale(self):
        """Scalar by which the loss is to be multiplied."""
        if self.loss_scaling:
            return self.state["loss_scale"].read_value()
        return tf.ones(())

    def apply(self, gradients):
        """Updates all weights, in replica context.

        Args:
            gradients: list of tensors, one a variable, of the scaled loss;
                the same in all replicas.

        Returns:
            float32 scalar, the global norm before clipping.
        """
        norm = tf.linalg.global_norm(gradients) / self.scale()
        if self.loss_scaling:
            finite = tf.math.is_finite(norm)
            tf.cond(finite, lambda: self._update(gradients, norm), lambda: None)
            self._adapt_scale(finite)
        else:
            self._update(gradients, norm)
        return norm

    def _update(self, gradients, norm):
        state = self.state
        rate = self.rate(state["step"])
        step = tf.cast(state["step"].assign_add(1), tf.float32)
        factor = 1.0 / self.scale()
        if self.clip_norm:
            factor *= tf.minimum(1.0, self.clip_norm / norm)
        change = 1.0 - tf.minimum(self.ema, (step - 1.0) / (step + 9.0))
        decay = rate * self.weight_decay
        shared = {
            "lr": rate,
            "beta1": tf.constant(0.9),
            "beta2": tf.constant(0.999),
            "epsilon": tf.constant(1e-7),
            "beta1_power": 0.9**step,
            "beta2_power": 0.999**step,
        }
        scaled = self.loss_scaling or self.clip_norm
        for variable, gradient in zip(self.variables, gradients, strict=True):
            value, path = variable.value, variable.path
            if self.weight_decay and path.endswith("kernel"):
                value.assign_sub(value * decay)
            tf.raw_ops.ResourceApplyAdam(
                var=value.handle,
                m=state[f"{path}/m"].handle,
                v=state[f"{path}/v"].handle,
                grad=gradient * factor if scaled else gradient,
                **shared,
            )
            if self.ema:
                average = state[f"{path}/average"]
                average.assign_sub(change * (average - value))

    def _adapt_scale(self, finite):
        scale, good = self.state["loss_scale"], self.state["good_steps"]
        count = tf.where(finite, good + 1, tf.zeros_like(good))
        grown = count == 2000
        scale.assign(scale * tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5))
        good.assign(tf.where(grown, tf.zeros_like(count), count))


def _state(value):
    return tf.Variable(value, trainable=False)


class DistributedSteps:
    """Training and evaluation steps, the same for any number of replicas.

    The loss is the mean over the samples of the global batch: each replica
    divides the sum of its losses by the global batch size, the gradients are
    summed over replicas, and each replica makes the same update.

    Both steps return a float32 table (global batch, 4) in the order of the
    samples: loss, pixels in the intersection and in the union of truth and
    prediction, and weight (0 leaves a sample out); and the int64 sample
    indices (global batch,).

    Args:
        strategy: `tf.distribute.Strategy` under whose scope model and
            optimizer were made.
        model: `CSTM`; all its `mask_logits...` outputs are trained.
        optimizer: `Adam` over the model's trainable variables.
        batch_size: global batch size.
        loss: `kind` of `losses.segmentation_loss`.
        positive_weight: see `losses.segmentation_loss`.
        sentences_per_clip: how many sentences each clip of a training batch
            has; what needs no sentence is computed once for them all.
    """

    def __init__(
        self,
        strategy,
        model,
        optimizer,
        *,
        batch_size,
        loss,
        positive_weight,
        sentences_per_clip=1,
    ):
        self.strategy = strategy
        self.model = model
        self.sentences_per_clip = sentences_per_clip
        if sentences_per_clip > 1:
            self._clip_model, self._sentence_model = sentence_split.split(model)
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.loss = loss
        self.positive_weight = positive_weight
        self.train = tf.function(self._train, reduce_retracing=True)
        self.evaluate = tf.function(self._evaluate, reduce_retracing=True)

    def _train(self, batch):
        """Updates the weights by one distributed batch.

        Returns `(table, samples, gradient_norm)`; the norm is that of the
        global gradient before clipping.
        """
        results = self.strategy.run(self._train_replica, args=(batch,))
        return tuple(self._first(result) for result in results)

    def _evaluate(self, batch):
        """Returns `(table, samples)` of one distributed batch."""
        results = self.strategy.run(self._evaluate_replica, args=(batch,))
        return tuple(self._first(result) for result in results)

    def _first(self, value):
        return self.strategy.experimental_local_results(value)[0]

    def _train_replica(self, batch):
        variables = self.optimizer.variables
        with tf.GradientTape() as tape:
            outputs = self._forward(batch, training=True)
            losses = self._losses(outputs, batch)
            loss = tf.reduce_sum(losses) / self.batch_size
            loss *= self.optimizer.scale()
        gradients = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        if self.strategy.num_replicas_in_sync > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(
                tf.distribute.ReduceOp.SUM, gradients
            )
        norm = self.optimizer.apply(gradients)
        weight = tf.ones_like(losses)
        table = self._table(outputs, batch, losses, weight)
        return *self._gather(table, batch["sample"]), norm

    def _evaluate_replica(self, batch):
        outputs = self._forward(batch, training=False)
        outputs = {"mask_logits": outputs["mask_logits"]}
        losses = self._losses(outputs, batch)
        table = self._table(outputs, batch, losses, batch["weight"])
        return self._gather(table, batch["sample"])

    def _forward(self, batch, training):
        frames, tokens = batch["frames"], batch["tokens"]
        if training and self.sentences_per_clip > 1:
            clip = self._clip_model({"frames": frames}, training=True)
            shared = {
                name: tf.repeat(x, self.sentences_per_clip, axis=0)
                for name, x in clip.items()
            }
            outputs = self._sentence_model(
                {**shared, "tokens": tokens}, training=True
            )
        else:
            inputs = {"frames": frames, "tokens": tokens}
            outputs = self.model(inputs, training=training)
        return {name: tf.cast(x, tf.float32) for name, x in outputs.items()}

    def _losses(self, outputs, batch):
        return segmentation_loss(
            outputs,
            batch["mask"],
            kind=self.loss,
            positive_weight=self.positive_weight,
        )

    def _table(self, outputs, batch, losses, weight):
        truth = batch["mask"] > 0.5
        prediction = outputs["mask_logits"] > 0.0
        columns = (
            losses,
            _pixels(truth & prediction),
            _pixels(truth | prediction),
            tf.cast(weight, tf.float32),
        )
        return tf.stack(columns, axis=1)

    def _gather(self, table, samples):
        return (
            gather_rows(table, self.batch_size),
            gather_rows(samples, self.batch_size),
        )


def gather_rows(rows, total):
    """The rows of all replicas in their order, in replica context.

    (`ReplicaContext.all_gather` fails in a graph of several workers.)

    Args:
        rows: tensor `(total / replicas, ...)`.
        total: int.

    Returns:
        Tensor `(total, ...)`, the same in all replicas.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return rows
    before = context.replica_id_in_sync_group * tf.shape(rows)[0]
    after = total - before - tf.shape(rows)[0]
    ends = [[0, 0]] * (rows.shape.rank - 1)
    padded = tf.pad(rows, [[before, after], *ends])
    return context.all_reduce(tf.distribute.ReduceOp.SUM, padded)


def _pixels(mask):
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=(1, 2, 3))
