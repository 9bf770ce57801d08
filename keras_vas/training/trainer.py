"""The training loop: one for a CPU, all GPUs of a machine, and many machines.

A step is a pure function of the weights and of its number: the pipeline
gives batch s for step s, augmentation included. A run that is killed goes on
from its last checkpoint and ends with the weights of an undisturbed one.
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tqdm

from keras_vas.command_line import counted
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training.distribution import gather_rows, is_chief
from keras_vas.training.totals import Totals

_SCALARS_EVERY = 10


def report_finished(run, plan):
    """Says so and returns True if `run` has done all steps of `plan`."""
    path = run_directory.last_path(run)
    if not path.is_file():
        return False
    metadata = checkpoint.load_metadata(path)
    if metadata["step"] < plan.total_steps:
        return False
    best = metadata["best"]
    print(
        f"{run} holds a finished run: {counted(plan.epochs, 'epoch')}, "
        f"the best is epoch {best['epoch']} with mean IoU "
        f"{best['mean_iou']:.3f}; next: python evaluate.py --workdir={run} "
        "--data=RECORDS --output=OUT"
    )
    return True


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training needs to know beside model, data and optimizer.

    Attributes:
        epochs: int.
        steps_per_epoch: int.
        batch_size: int, global.
        checkpoint_steps: int, steps between two checkpoints within an epoch;
            0 for none but at its end.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    checkpoint_steps: int = 0

    @property
    def total_steps(self):
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch


class Trainer:
    """Trains a model and keeps its run directory.

    Args:
        steps: `optimization.DistributedSteps`.
        plan: `Plan`.
        run: run directory.
        training_data: callable from (first step, `tf.distribute.
            InputContext`) to a `tf.data.Dataset` of per-replica batches.
        validation_data: callable from `tf.distribute.InputContext` to a
            `tf.data.Dataset` of per-replica batches with `weight`, or `None`
            to choose the best checkpoint by the training metrics.
        sample_ids: callable from a list of sample indices to their ids.
        draw_panel: callable from the model to a uint8 picture (height,
            width, 3) of an epoch, or `None`.
        tensorboard: bool, write curves and pictures to RUN/logs.
    """

    def __init__(
        self,
        steps,
        plan,
        run,
        *,
        training_data,
        validation_data=None,
        sample_ids=lambda samples: [str(s) for s in samples],
        draw_panel=None,
        tensorboard=False,
    ):
        self.steps = steps
        self.plan = plan
        self.run = run
        self.training_data = training_data
        self.validation_data = validation_data
        self.sample_ids = sample_ids
        self.draw_panel = draw_panel
        self.chief = is_chief(steps.strategy)
        self.step = 0
        self.best = None
        self.totals = Totals()
        self._model_variables = variables.model_variables(steps.model)
        self._optimizer_variables = {
            checkpoint.OPTIMIZER + name: variable
            for name, variable in steps.optimizer.state.items()
        }
        self._training_only = variables.training_only(steps.model)
        self._logs = None
        if tensorboard and self.chief:
            self._logs = tf.summary.create_file_writer(f"{run}/logs")

    def restore(self):
        """Takes up the last checkpoint of the run, if there is one."""
        path = run_directory.last_path(self.run)
        if path.is_file():
            arrays, metadata = checkpoint.load(path)
            checkpoint.assign(
                self._model_variables | self._optimizer_variables, arrays, path
            )
            self.step = metadata["step"]
            self.best = metadata["best"]
            self.totals = Totals(**metadata["totals"])
        self._check_workers_agree()

    def train(self):
        """Trains to the end of the plan.

        Returns:
            Dict: the validation (or training) metrics of the best epoch and
            its number, counted from 1, as `epoch`.

        Raises:
            UserError: the loss or a gradient became NaN or infinite, or a
                checkpoint could not be written.
        """
        plan = self.plan
        if self.step < plan.total_steps:
            steps = map(self._take_step, self._distribute(self._training_part))
            # The network is compiled in the first step, before the bar's
            # clock starts.
            table, norm = next(steps)
            with self._progress_bar() as bar:
                self._end_step(table, norm, bar)
                while self.step < plan.total_steps:
                    self._end_step(*next(steps), bar)
        return self.best

    def _take_step(self, batch):
        table, samples, norm = self.steps.train(batch)
        self._check_finite(table.numpy(), samples.numpy(), float(norm))
        self.step += 1
        return table, float(norm)

    def _end_step(self, table, norm, bar):
        self.totals.add(table)
        self._report(bar, norm)
        if self.step % self.plan.steps_per_epoch == 0:
            self._end_epoch(bar)
        elif self._due(self.plan.checkpoint_steps):
            self._save_last()

    def _training_part(self, context):
        return self.training_data(self.step, context)

    def _distribute(self, make_dataset):
        return self.steps.strategy.distribute_datasets_from_function(
            make_dataset
        )

    def _due(self, every):
        return bool(every) and self.step % every == 0

    def _end_epoch(self, bar):
        epoch = self.step // self.plan.steps_per_epoch
        training = self.totals.metrics()
        self._log("train", training)
        averages = checkpoint.read(self.steps.optimizer.averages())
        raw = checkpoint.read({k: self._model_variables[k] for k in averages})
        self._assign_weights(averages)
        if self.validation_data:
            scores = self._validate()
            self._log("validation", scores)
        else:
            scores = training
        if self._logs and self.draw_panel:
            with self._logs.as_default(self.step):
                panel = self.draw_panel(self.steps.model)
                tf.summary.image("panel", panel[None])
        if self.best is None or scores["mean_iou"] > self.best["mean_iou"]:
            self.best = {**scores, "epoch": epoch}
            self._save(run_directory.best_path(self.run), {})
        self._assign_weights(raw)
        self.totals = Totals()
        self._save_last()
        self._say(
            bar,
            f"epoch {epoch}/{self.plan.epochs}: training "
            f"{_text(training)}"
            + (f"; validation {_text(scores)}" if self.validation_data else "")
            + f"; best epoch {self.best['epoch']}",
        )

    def _say(self, bar, line):
        if self.chief:
            bar.write(line)

    def _validate(self):
        totals = Totals()
        for batch in self._distribute(self.validation_data):
            table, _ = self.steps.evaluate(batch)
            totals.add(table)
        return totals.metrics()

    def _assign_weights(self, arrays):
        for path, array in arrays.items():
            self._model_variables[path].assign(array)

    def _save_last(self):
        self._save(
            run_directory.last_path(self.run),
            checkpoint.read(self._optimizer_variables),
        )

    def _save(self, path, more):
        arrays = {**checkpoint.read(self._model_variables), **more}
        if self.chief:
            metadata = {
                "epoch": self.step // self.plan.steps_per_epoch,
                "step": self.step,
                "best": self.best,
                "totals": dataclasses.asdict(self.totals),
                "training_only": self._training_only,
            }
            checkpoint.save(path, arrays, metadata)

    def _check_finite(self, table, samples, norm):
        broken = ~np.isfinite(table[:, 0])
        overflows = self.steps.optimizer.loss_scaling
        if not broken.any() and (np.isfinite(norm) or overflows):
            return
        what = "loss" if broken.any() else "gradient"
        named = samples[broken] if broken.any() else samples
        last = run_directory.last_path(self.run)
        kept = (
            f"the last good checkpoint is {last}"
            if last.is_file()
            else "there is no checkpoint yet"
        )
        raise UserError(
            f"the {what} became NaN or infinite at step {self.step + 1}; "
            f"samples: {', '.join(self.sample_ids(named.tolist()))}; {kept}. "
            "Lower --learning_rate or set --clip_norm in a new --workdir, and "
            "look at these samples"
        )

    def _check_workers_agree(self):
        strategy = self.steps.strategy
        replicas = strategy.num_replicas_in_sync

        @tf.function
        def everyone(step):
            gathered = strategy.run(gather_rows, (step[None], replicas))
            return strategy.experimental_local_results(gathered)[0]

        found = set(everyone(tf.constant(self.step)).numpy().tolist())
        if len(found) > 1:
            raise UserError(
                f"the workers would go on from steps {sorted(found)}; give all "
                f"of them the same --workdir ({self.run}) on a shared disk"
            )

    def _progress_bar(self):
        size = self.plan.batch_size
        return tqdm.tqdm(
            total=self.plan.total_steps * size,
            initial=self.step * size,
            unit=" samples",
            disable=not self.chief,
            dynamic_ncols=True,
            mininterval=0.5,
        )

    def _report(self, bar, norm):
        scores = self.totals.metrics()
        epoch = (self.step - 1) // self.plan.steps_per_epoch + 1
        bar.set_description(f"epoch {epoch}/{self.plan.epochs}", refresh=False)
        bar.set_postfix(
            loss=f"{scores['loss']:.4f}",
            mean_iou=f"{scores['mean_iou']:.3f}",
            refresh=False,
        )
        bar.update(self.step * self.plan.batch_size - bar.n)
        if self._due(_SCALARS_EVERY):
            rate = bar.format_dict["rate"]
            self._log(
                "step",
                {
                    "learning_rate": self.steps.optimizer.learning_rate,
                    "gradient_norm": norm,
                    **scores,
                    **({"samples_per_second": rate} if rate else {}),
                },
            )

    def _log(self, group, scalars):
        if self._logs:
            with self._logs.as_default(self.step):
                for name, value in scalars.items():
                    tf.summary.scalar(f"{group}/{name}", value)
            self._logs.flush()


def _text(scores):
    return f"loss {scores['loss']:.4f}, mean IoU {scores['mean_iou']:.3f}"
