"""One training or evaluation step, the same on any number of replicas."""

import tensorflow as tf

from keras_vas.losses import segmentation_loss
from keras_vas.models import sentence_split
from keras_vas.training.distribution import gather_rows


class DistributedSteps:
    """Training and evaluation steps, the same for any number of replicas.

    The loss is the mean over the samples of the global batch: each replica
    divides the sum of its losses by the global batch size, the gradients are
    summed over replicas, and each replica makes the same update.
    What the table reports is without the lessons' loss.

    Both steps return a float32 table (global batch, 4) in the order of the
    samples: loss, pixels in the intersection and in the union of truth and
    prediction, and weight (0 leaves a sample out); and the int64 sample
    indices (global batch,).

    Args:
        strategy: `tf.distribute.Strategy` under whose scope model and
            optimizer were made.
        model: `SegmentationModel`; all its `mask_logits...` are trained.
        optimizer: `Adam` over the model's trainable variables.
        batch_size: global batch size.
        objective: `settings.Objective`.
        sentences_per_clip: how many sentences each clip of a training batch
            has; what needs no sentence is computed once for them all.
        lessons: list of `name_lesson.NameLesson`, which go on in each step
            with the weight `objective.names_weight`.
    """

    def __init__(
        self,
        strategy,
        model,
        optimizer,
        *,
        batch_size,
        objective,
        sentences_per_clip=1,
        lessons=(),
    ):
        self.strategy = strategy
        self.model = model
        self.sentences_per_clip = sentences_per_clip
        if sentences_per_clip > 1:
            self._clip_model, self._sentence_model = sentence_split.split(model)
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.objective = objective
        self.lessons = lessons if objective.names_weight else ()
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
            if self.lessons:
                loss += self._lesson_loss()
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
            kind=self.objective.loss,
            positive_weight=self.objective.positive_weight,
        )

    def _lesson_loss(self):
        """A replica's share of the lessons' loss, the same in all."""
        share = self.objective.names_weight / self.strategy.num_replicas_in_sync
        step = self.optimizer.state["step"].read_value()
        return share * sum(x.loss_of_step(step) for x in self.lessons)

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


def _pixels(mask):
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=(1, 2, 3))
