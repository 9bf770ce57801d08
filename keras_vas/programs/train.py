"""Trains a model on records written by tfrecords/build_*.py.

    python train.py --flagfile=configs/cstm_joint.flags --data=DIR --workdir=DIR

A flag after the flagfile overrides it. The same command again goes on from
the last checkpoint, whatever stopped the run. With TF_CONFIG set, the same
command on every machine trains on all of them.
"""

import contextlib
import dataclasses

import keras
import tensorflow as tf
from absl import flags

from keras_vas import command_line, files, presets
from keras_vas.command_line import build, counted
from keras_vas.data import pipeline, records, training_split, transforms
from keras_vas.models import registry
from keras_vas.runs import run as run_directory
from keras_vas.training import (
    distribution,
    fine_tuning,
    initialisation,
    precision,
    settings,
    trainer,
)
from keras_vas.training.optimizer import Adam
from keras_vas.training.panel import Panel
from keras_vas.training.steps import DistributedSteps

FLAGS = flags.FLAGS


def define_flags():
    """Defines all flags; returns the names of those that make a run."""
    flags.DEFINE_list(
        "data",
        None,
        "Folder with the records to train on, or several with commas between.",
        required=True,
    )
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, which is made.", required=True
    )
    flags.DEFINE_enum(
        "precision", "float32", precision.NAMES, "Precision of the arithmetic."
    )
    flags.DEFINE_string(
        "vocabulary",
        None,
        "File vocabulary.txt of tfrecords/build_vocabulary.py; without it, "
        "the words of the training sentences.",
    )
    flags.DEFINE_integer(
        "checkpoint_steps",
        200,
        "Steps between two checkpoints; 0: only at the end of an epoch.",
        lower_bound=0,
    )
    flags.DEFINE_boolean(
        "tensorboard", True, "Write curves and pictures to RUN/logs."
    )
    flags.DEFINE_boolean(
        "deterministic", True, "Compute the same weights every time."
    )
    names = [
        "data", "workdir", "precision", "vocabulary",
        "checkpoint_steps", "tensorboard", "deterministic",
    ]  # fmt: skip
    define = command_line.define_flags
    for target in (
        settings.Course,
        settings.Input,
        settings.Objective,
        settings.Optimization,
        settings.Beginning,
    ):
        names += define(target)
    names += define(transforms.Augmentation, defaults={"flip": 0.5})
    names += define(training_split.divide, without=("index", "seed"))
    return names + settings.define_model_flags()


def main(names):
    """Trains as the flags say.

    Args:
        names: list of the flags that make a run.
    """
    strategy = distribution.make_strategy()
    replicas = strategy.num_replicas_in_sync
    course = build(settings.Course)
    inputs = build(settings.Input)
    optimization = build(settings.Optimization)
    beginning = build(settings.Beginning)
    if beginning.init_run:
        run = str(presets.run_of(beginning.init_run))
        beginning = dataclasses.replace(beginning, init_run=run)
    objective = build(settings.Objective)
    command_line.checked(beginning.check_names, objective.names_weight)
    augmentation = build(transforms.Augmentation)
    keras.utils.set_random_seed(course.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    precision.use(FLAGS.precision, {name: FLAGS[name].value for name in names})
    command_line.checked(inputs.check_batch, course.batch_size, replicas)

    index = records.join(
        [
            records.read_index(
                folder, "train", skip_corrupt=inputs.skip_corrupt
            )
            for folder in FLAGS.data
        ]
    )
    for corrupt in index.corrupt:
        print(f"left out: {corrupt.key} in {corrupt.shard}: {corrupt.reason}")
    train_index, validation_index = build(training_split.divide, index=index)
    shares = command_line.checked(
        pipeline.shares, train_index, FLAGS.data, inputs.data_weights
    )
    plan = trainer.Plan(
        epochs=course.epochs,
        steps_per_epoch=pipeline.steps_per_epoch(
            train_index, course.batch_size, inputs.sentences_per_clip
        ),
        batch_size=course.batch_size,
        checkpoint_steps=FLAGS.checkpoint_steps,
    )
    run_flags = {name: FLAGS[name].value for name in names}
    started = run_directory.is_run(FLAGS.workdir)
    sentences = training_split.sentences(train_index)
    if started:
        run_directory.check_same(
            FLAGS.workdir,
            flags=run_flags,
            defaults={name: FLAGS[name].default for name in names},
            data_manifest=index.manifest,
        )
        if trainer.report_finished(FLAGS.workdir, plan):
            return
        vocabulary = run_directory.load_vocabulary(FLAGS.workdir)
    else:
        vocabulary = initialisation.choose_vocabulary(
            beginning, FLAGS.vocabulary, sentences
        )

    with strategy.scope():
        model = build(
            registry.model_class(FLAGS.model),
            vocabulary_size=len(vocabulary),
            **({"synchronized": True} if replicas > 1 else {}),
        )
        fine_tuning.set_statistics_momentum(model, course.statistics_momentum)
        lessons = initialisation.initialise(
            model, beginning, vocabulary, sentences, course.seed
        )
        steps = DistributedSteps(
            strategy,
            model,
            Adam(
                model.trainable_variables,
                optimization.rate(plan.epochs, plan.steps_per_epoch),
                clip_norm=optimization.clip_norm,
                weight_decay=optimization.weight_decay,
                ema=optimization.ema,
                loss_scaling=FLAGS.precision == "mixed_float16",
            ),
            batch_size=course.batch_size,
            objective=objective,
            lessons=lessons,
            sentences_per_clip=inputs.sentences_per_clip,
        )
    chief = distribution.is_chief(strategy)
    with files.lock(FLAGS.workdir) if chief else contextlib.nullcontext():
        if chief:
            if not started:
                run_directory.start(
                    FLAGS.workdir,
                    flags=run_flags,
                    architecture=FLAGS.model,
                    model=model.inference_config(),
                    data_manifest=index.manifest,
                    words=vocabulary.words,
                )
            run_directory.remove_leftovers(FLAGS.workdir)

        size = {"height": inputs.frame_height, "width": inputs.frame_width}
        batches = {**size, "batch_size": course.batch_size}

        def training_data(start_step, context):
            return pipeline.training_dataset(
                train_index,
                vocabulary,
                **batches,
                seed=course.seed,
                start_step=start_step,
                group_queries=inputs.group_queries,
                sentences_per_clip=inputs.sentences_per_clip,
                augmentation=augmentation,
                shares=shares,
                **distribution.share(context),
            )

        def validation_data(context):
            return pipeline.evaluation_dataset(
                validation_index,
                vocabulary,
                **batches,
                **distribution.share(context),
            )

        loop = trainer.Trainer(
            steps,
            plan,
            FLAGS.workdir,
            training_data=training_data,
            validation_data=validation_data if validation_index else None,
            sample_ids=lambda samples: [
                train_index.sample_ids[s] for s in samples
            ],
            draw_panel=Panel(
                validation_index or train_index, vocabulary, **size
            ),
            tensorboard=FLAGS.tensorboard,
        )
        _describe(model, train_index, validation_index, replicas)
        loop.restore()
        with pipeline.readable_errors(index):
            loop.train()
        trainer.report_finished(FLAGS.workdir, plan)


def _describe(model, train_index, validation_index, replicas):
    aside = validation_index.num_samples if validation_index else 0
    trained = sum(v.value.shape.num_elements() for v in model.trainable_weights)
    print(
        f"{counted(train_index.num_samples, 'sample')} to train on, "
        f"{aside:,} to choose the best checkpoint; "
        f"{model.count_params():,} parameters, {trained:,} of them trained, "
        f"on {counted(replicas, 'device')}",
        flush=True,
    )


def run():
    """Runs the program."""
    names = define_flags()
    command_line.run(lambda _: main(names))


if __name__ == "__main__":
    run()
