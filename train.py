"""Trains a CSTM on records written by tfrecords/build_*.py.

    python train.py --flagfile=configs/cstm_joint.flags --data=DIR --workdir=DIR

A flag after the flagfile overrides it. The same command again goes on from
the last checkpoint, whatever stopped the run. With TF_CONFIG set, the same
command on every machine trains on all of them.
"""

import os
import pathlib
import sys

import keras
import tensorflow as tf
from absl import flags

from keras_vas import CSTM, command_line, errors, losses, weights
from keras_vas.data import pipeline, records, training_split, transforms
from keras_vas.data.text import word_vectors
from keras_vas.data.text.vocabulary import Vocabulary, sentence_warnings
from keras_vas.models.cstm import part_names
from keras_vas.runs import run as run_directory
from keras_vas.training import (
    class_prior,
    distribution,
    fine_tuning,
    initialisation,
    name_lesson,
    optimizer,
)
from keras_vas.training import panel as training_panel
from keras_vas.training import trainer as training_loop
from keras_vas.training.steps import DistributedSteps

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "data", None, "Folder with the records, or several.", required=True
)
flags.DEFINE_list(
    "data_weights", [],
    "How often clips of each folder are taken, such as 3,1; without, as often "
    "as there are clips.",
)  # fmt: skip
flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
flags.DEFINE_integer("epochs", 12, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Of all replicas.", lower_bound=1)
flags.DEFINE_float("learning_rate", 5e-4, "The highest.", lower_bound=0.0)
flags.DEFINE_enum(
    "schedule", "step", optimizer.SCHEDULES, "Of the learning rate."
)
flags.DEFINE_integer(
    "decay_epochs", 8, "Schedule step: epochs between divisions by 10.",
    lower_bound=1,
)  # fmt: skip
flags.DEFINE_integer("warmup_steps", 0, "Linear, 0: none.", lower_bound=0)
flags.DEFINE_float("clip_norm", 0.0, "Of all gradients.", lower_bound=0.0)
flags.DEFINE_float(
    "ema", 0.0, "Momentum of the averaged weights, which are evaluated.",
    lower_bound=0.0, upper_bound=1.0,
)  # fmt: skip
flags.DEFINE_float("weight_decay", 0.0, "Decoupled.", lower_bound=0.0)
flags.DEFINE_enum("loss", "bce_dice", losses.KINDS, "Of every mask head.")
flags.DEFINE_float("positive_weight", 1.5, "Of the actor's pixels.")
flags.DEFINE_boolean("deep_supervision", True, "A loss on all five stages.")
flags.DEFINE_float(
    "statistics_momentum",
    0.99,
    "Of batch normalization's moving statistics; less for few steps.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.")
flags.DEFINE_enum(
    "precision", "float32", optimizer.PRECISIONS, "Of the arithmetic."
)
flags.DEFINE_integer("frame_height", 320, "A multiple of 32.")
flags.DEFINE_integer("frame_width", 320, "A multiple of 32.")

flags.DEFINE_enum("encoders", "both", ["spatial", "temporal", "both"], "")
flags.DEFINE_string("spatial_backbone", "inception_v3", "")
flags.DEFINE_string("temporal_backbone", "i3d", "")
flags.DEFINE_enum("fusion", "lgfs", ["lgfs", "add", "max"], "")
flags.DEFINE_list("cmam_stages", ["1", "2", "3", "4", "5"], "May be empty.")
flags.DEFINE_enum("coordinate_fusion", "conv", ["conv", "linear"], "")
flags.DEFINE_enum("gate", "residual", ["residual", "centred"], "")
flags.DEFINE_enum("sentence", "mean", ["mean", "last"], "For the decoder.")
flags.DEFINE_enum(
    "modulation", "through", ["through", "beside"],
    "Whether the next stage of a backbone sees what CMAM makes of this one.",
)  # fmt: skip
flags.DEFINE_integer(
    "class_prior", 0,
    "Rank of the words' directions among the classes of --spatial_weights, "
    "whose map the decoder sees; 0: none.", lower_bound=0,
)  # fmt: skip
flags.DEFINE_float("width", 1.0, "Multiplies the channels of all layers.")
flags.DEFINE_integer("decoder_channels", 256, "", lower_bound=1)
flags.DEFINE_integer("key_channels", 256, "", lower_bound=1)
flags.DEFINE_integer("text_channels", 300, "", lower_bound=1)
flags.DEFINE_integer("embedding_dim", 300, "", lower_bound=1)
flags.DEFINE_string(
    "word_vectors", None, "GloVe text file, or .npz of words and vectors."
)
flags.DEFINE_boolean("train_embeddings", False, "Train the word vectors.")
flags.DEFINE_string(
    "vocabulary",
    None,
    "vocabulary.txt of tfrecords/build_vocabulary.py; without it, the words of "
    "the training sentences.",
)

flags.DEFINE_string(
    "spatial_weights",
    None,
    "Pretrained weights to begin with: imagenet, a name that "
    "`python -m keras_vas.weights list` shows, a file, or a run.",
)
flags.DEFINE_string(
    "temporal_weights", None, "The same, temporal: kinetics400, ..."
)
flags.DEFINE_string(
    "spatial_names",
    None,
    "Names of the classes that --spatial_weights tells apart, which the text "
    "encoder learns first: a line each, or imagenet_class_index.json.",
)
flags.DEFINE_string("temporal_names", None, "The same, temporal.")
flags.DEFINE_enum(
    "freeze", "none", list(fine_tuning.FROZEN),
    "What keeps its first weights, and batch statistics.",
)  # fmt: skip
flags.DEFINE_string("spatial_run", None, "Run whose spatial encoder to take.")
flags.DEFINE_string("temporal_run", None, "The same, temporal.")
flags.DEFINE_string("init_run", None, "Run whose weights to begin with.")

flags.DEFINE_boolean(
    "group_queries", False, "Keep the sentences of a frame in one batch."
)
flags.DEFINE_integer(
    "sentences_per_clip", 1,
    "Of each clip of a batch; with more than 1 an epoch has each frame once.",
    lower_bound=1,
)  # fmt: skip
flags.DEFINE_float("flip", 0.5, "Chance of a flip, left and right swapped.")
flags.DEFINE_float("crop", 0.0, "Largest share of a side cut off.")
flags.DEFINE_float("colour", 0.0, "Largest change of brightness, contrast.")
flags.DEFINE_float("word_dropout", 0.0, "Chance that a word is not known.")
flags.DEFINE_float(
    "pair", 0.0, "Chance that another clip is put beside the sample's."
)
flags.DEFINE_boolean("skip_corrupt", False, "Leave corrupt records out.")
flags.DEFINE_float(
    "validation_fraction", 0.1,
    "Share of the training videos that chooses the best checkpoint; 0: none, "
    "the training metrics choose.", lower_bound=0.0, upper_bound=0.9,
)  # fmt: skip
flags.DEFINE_list(
    "validation_videos", [],
    "Training videos that choose instead, patterns such as *_bus.",
)  # fmt: skip
flags.DEFINE_integer(
    "checkpoint_steps", 200, "Steps between checkpoints, 0: epochs alone.",
    lower_bound=0,
)  # fmt: skip
flags.DEFINE_boolean("tensorboard", True, "Write RUN/logs.")
flags.DEFINE_boolean("deterministic", True, "The same weights every time.")

_MODEL_FLAGS = (
    "encoders", "spatial_backbone", "temporal_backbone", "fusion",
    "coordinate_fusion", "gate", "sentence", "modulation", "class_prior",
    "width", "decoder_channels", "key_channels", "text_channels",
    "embedding_dim", "train_embeddings",
)  # fmt: skip
_AUGMENTATION_FLAGS = ("flip", "crop", "colour", "word_dropout", "pair")


def main(_):
    """Trains as the flags say."""
    strategy = distribution.make_strategy()
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    _set_precision()
    augmentation = _checked(
        transforms.Augmentation, **_values(_AUGMENTATION_FLAGS)
    )
    _checked(transforms.check_size, FLAGS.frame_height, FLAGS.frame_width)
    replicas = strategy.num_replicas_in_sync
    clips = replicas * FLAGS.sentences_per_clip
    if FLAGS.batch_size % clips:
        raise errors.UserError(
            f"--batch_size={FLAGS.batch_size} does not divide among "
            f"{replicas} devices with {FLAGS.sentences_per_clip} sentences a "
            f"clip; give a multiple of {clips}"
        )

    index = _read_index()
    if FLAGS.validation_videos:
        train_index, validation_index = training_split.set_aside_named(
            index, FLAGS.validation_videos
        )
    else:
        train_index, validation_index = training_split.set_aside_videos(
            index, FLAGS.validation_fraction, FLAGS.seed
        )
    plan = training_loop.Plan(
        epochs=FLAGS.epochs,
        steps_per_epoch=pipeline.steps_per_epoch(
            train_index, FLAGS.batch_size, FLAGS.sentences_per_clip
        ),
        batch_size=FLAGS.batch_size,
        checkpoint_steps=FLAGS.checkpoint_steps,
    )
    started = run_directory.is_run(FLAGS.workdir)
    if started:
        run_directory.check_same(
            FLAGS.workdir, flags=_all_flags(), data_manifest=index.manifest
        )
        if training_loop.report_finished(FLAGS.workdir, plan):
            return
        vocabulary = run_directory.load_vocabulary(FLAGS.workdir)
    else:
        vocabulary = _vocabulary(train_index)

    with strategy.scope():
        model = _model(vocabulary, synchronized=replicas > 1)
        fine_tuning.set_statistics_momentum(model, FLAGS.statistics_momentum)
        _initialise(model, vocabulary, train_index)
        steps = DistributedSteps(
            strategy,
            model,
            _optimizer(model, plan),
            batch_size=FLAGS.batch_size,
            loss=FLAGS.loss,
            positive_weight=FLAGS.positive_weight,
            sentences_per_clip=FLAGS.sentences_per_clip,
        )
    if distribution.is_chief(strategy):
        if not started:
            run_directory.start(
                FLAGS.workdir,
                flags=_all_flags(),
                model={
                    **model.get_config(),
                    "deep_supervision": False,
                    "synchronized": False,
                },
                data_manifest=index.manifest,
                vocabulary=vocabulary,
            )
        run_directory.remove_leftovers(FLAGS.workdir)

    size = {
        "height": FLAGS.frame_height,
        "width": FLAGS.frame_width,
        "batch_size": FLAGS.batch_size,
    }

    def training_data(start_step, context):
        return pipeline.training_dataset(
            train_index,
            vocabulary,
            **size,
            seed=FLAGS.seed,
            start_step=start_step,
            group_queries=FLAGS.group_queries,
            sentences_per_clip=FLAGS.sentences_per_clip,
            augmentation=augmentation,
            shares=_shares(train_index),
            **distribution.share(context),
        )

    def validation_data(context):
        return pipeline.evaluation_dataset(
            validation_index, vocabulary, **size, **distribution.share(context)
        )

    trainer = training_loop.Trainer(
        steps,
        plan,
        FLAGS.workdir,
        training_data=training_data,
        validation_data=validation_data if validation_index else None,
        sample_ids=lambda samples: [
            train_index.sample_ids[sample] for sample in samples
        ],
        draw_panel=training_panel.Panel(
            validation_index or train_index,
            vocabulary,
            height=FLAGS.frame_height,
            width=FLAGS.frame_width,
        ),
        tensorboard=FLAGS.tensorboard,
    )
    _describe(model, train_index, validation_index, replicas)
    trainer.restore()
    with pipeline.readable_errors(index):
        trainer.train()
    training_loop.report_finished(FLAGS.workdir, plan)


def _set_precision():
    trains_3d = (
        FLAGS.freeze != "backbones"
        or FLAGS.modulation != "beside"
        or FLAGS.coordinate_fusion != "linear"
    )
    if (
        FLAGS.precision == "mixed_float16"
        or (FLAGS.precision == "mixed_bfloat16" and trains_3d)
    ) and not tf.config.list_logical_devices("GPU"):
        # TensorFlow 2.21 on a CPU has no float16 pooling in 3-D, and gives
        # NaN in the bfloat16 gradient of 3-D convolution kernels.
        raise errors.UserError(
            f"--precision={FLAGS.precision} needs a GPU; on a CPU give float32"
        )
    keras.config.set_dtype_policy(FLAGS.precision)


def _read_index():
    index = records.join(
        [
            records.read_index(folder, "train", skip_corrupt=FLAGS.skip_corrupt)
            for folder in FLAGS.data
        ]
    )
    for corrupt in index.corrupt:
        print(f"left out: {corrupt.key} in {corrupt.shard}: {corrupt.reason}")
    return index


def _shares(index):
    """`(records, share)` of each data set in the index."""
    if not FLAGS.data_weights:
        return ()
    try:
        weights = [float(weight) for weight in FLAGS.data_weights]
    except ValueError:
        weights = []
    if len(weights) != len(FLAGS.data) or not all(w > 0 for w in weights):
        raise errors.UserError(
            "--data_weights must be a positive number for each folder of "
            f"--data; got {','.join(FLAGS.data_weights)} for "
            f"{len(FLAGS.data)} folders"
        )
    folders = [str(path).rpartition("/")[0] for path in index.paths]
    records_of = [
        sum(folder == str(pathlib.Path(data)) for folder in folders)
        for data in FLAGS.data
    ]
    return tuple(zip(records_of, weights, strict=True))


def _vocabulary(index):
    """That of the runs which weights are taken from, a file, or a new one."""
    sources = {
        run: run_directory.load_vocabulary(run)
        for run in (FLAGS.init_run, FLAGS.spatial_run, FLAGS.temporal_run)
        if run
    }
    initialised = bool(sources) or bool(FLAGS.word_vectors)
    if FLAGS.vocabulary:
        sources[FLAGS.vocabulary] = _vocabulary_file(FLAGS.vocabulary)
    texts = training_split.sentences(index)
    known = Vocabulary.build(texts)
    (first, vocabulary), *others = sources.items() or [(None, known)]
    for other, theirs in others:
        if theirs.words != vocabulary.words:
            raise errors.UserError(
                f"{other} has another vocabulary than {first}; all must be "
                "trained with the same words"
            )
    for line in sentence_warnings(texts, vocabulary):
        print(line)
    unseen = set(vocabulary.words) - set(known.words)
    if unseen and not initialised:
        raise errors.UserError(
            f"{len(unseen)} words of {FLAGS.vocabulary} are in no training "
            "sentence and would keep random vectors; give --word_vectors"
        )
    return vocabulary


def _vocabulary_file(path):
    if not os.path.isfile(path):
        raise errors.UserError(
            f"there is no vocabulary file {path}; write one with "
            "tfrecords/build_vocabulary.py"
        )
    return Vocabulary.load(path)


def _model(vocabulary, synchronized):
    try:
        stages = tuple(int(stage) for stage in FLAGS.cmam_stages)
    except ValueError as error:
        raise errors.UserError(
            "--cmam_stages is a list of numbers such as 4,5; got "
            + ",".join(FLAGS.cmam_stages)
        ) from error
    return _checked(
        CSTM,
        vocabulary_size=len(vocabulary),
        cmam_stages=stages,
        deep_supervision=FLAGS.deep_supervision,
        synchronized=synchronized,
        **_values(_MODEL_FLAGS),
    )


def _initialise(model, vocabulary, train_index):
    """Gives the model the weights that the flags name."""
    if FLAGS.word_vectors:
        vectors, missing = word_vectors.load(
            FLAGS.word_vectors, vocabulary, FLAGS.embedding_dim
        )
        model.get_layer(part_names.WORD_VECTORS).set_weights([vectors])
        print(
            f"{FLAGS.word_vectors} lacks {len(missing)} of "
            f"{len(vocabulary.words)} words"
            + (f": {', '.join(missing[:10])} ..." if missing else "")
        )
    heads = _assign_pretrained(model)
    if FLAGS.class_prior and not FLAGS.init_run:
        count = class_prior.assign(
            model, FLAGS.spatial_backbone, heads.get("spatial"), vocabulary
        )
        print(f"class prior: {count} words have a direction")
    _teach_names(model, heads, vocabulary, train_index)
    if FLAGS.init_run:
        initialisation.assign_model(model, FLAGS.init_run)
    runs = {"spatial_": FLAGS.spatial_run, "temporal_": FLAGS.temporal_run}
    initialisation.assign_encoders(model, {k: v for k, v in runs.items() if v})
    fine_tuning.freeze(model, FLAGS.freeze)


def _assign_pretrained(model):
    """Gives the backbones their weights; returns the heads that came along."""
    heads = {}
    for encoder in ("spatial", "temporal"):
        what = FLAGS[f"{encoder}_weights"].value
        if not what:
            continue
        other = "init_run" if FLAGS.init_run else f"{encoder}_run"
        if FLAGS[other].value:
            raise errors.UserError(
                f"--{encoder}_weights and --{other} both say where the "
                f"{encoder} encoder begins; give one of them"
            )
        if FLAGS.encoders not in (encoder, "both"):
            raise errors.UserError(
                f"--{encoder}_weights needs a {encoder} encoder; "
                f"--encoders={FLAGS.encoders} has none"
            )
        if run_directory.best_path(what).is_file():
            count = initialisation.assign_backbone(model, encoder, what)
            print(f"{encoder} encoder: {count} arrays of {what}")
            continue
        backbone = FLAGS[f"{encoder}_backbone"].value
        found = weights.load(what, backbone)
        weights.assign(model, f"{encoder}_backbone", found)
        print(f"{encoder} encoder: {len(found.trunk)} arrays of {found.source}")
        heads[encoder] = found.arrays.get("head/kernel")
    return heads


def _teach_names(model, heads, vocabulary, train_index):
    for encoder in ("spatial", "temporal"):
        names = FLAGS[f"{encoder}_names"].value
        if not names:
            continue
        if heads.get(encoder) is None:
            raise errors.UserError(
                f"--{encoder}_names needs --{encoder}_weights with a head, "
                "whose classes they name, such as imagenet or kinetics400"
            )
        if str(name_lesson.STAGE) not in FLAGS.cmam_stages:
            raise errors.UserError(
                f"--{encoder}_names needs a CMAM in stage {name_lesson.STAGE}, "
                "whose gate learns them; got --cmam_stages="
                + ",".join(FLAGS.cmam_stages)
            )
        classes = heads[encoder].shape[-1]
        known, right = name_lesson.teach(
            model,
            encoder,
            heads[encoder],
            name_lesson.read_names(names, classes),
            vocabulary,
            training_split.sentences(train_index),
            FLAGS.seed,
        )
        print(
            f"{encoder} names: {known} of {classes} classes have a name of "
            f"known words; {100 * right:.0f} % of these are told apart by it"
        )


def _optimizer(model, plan):
    rate = optimizer.LearningRate(
        FLAGS.learning_rate,
        FLAGS.schedule,
        total_steps=plan.total_steps,
        decay_steps=FLAGS.decay_epochs * plan.steps_per_epoch,
        warmup_steps=FLAGS.warmup_steps,
    )
    return optimizer.Adam(
        model.trainable_variables,
        rate,
        clip_norm=FLAGS.clip_norm,
        weight_decay=FLAGS.weight_decay,
        ema=FLAGS.ema,
        loss_scaling=FLAGS.precision == "mixed_float16",
    )


def _describe(model, train_index, validation_index, replicas):
    aside = validation_index.num_samples if validation_index else 0
    trained = sum(v.value.shape.num_elements() for v in model.trainable_weights)
    print(
        f"{train_index.num_samples} samples to train on, {aside} to choose "
        f"the best checkpoint; {model.count_params():,} parameters, "
        f"{trained:,} of them trained, on {replicas} device(s)",
        flush=True,
    )


def _checked(function, *arguments, **keywords):
    """Calls a function; a ValueError about its arguments is the user's."""
    try:
        return function(*arguments, **keywords)
    except ValueError as error:
        raise errors.UserError(str(error)) from error


def _values(names):
    return {name: FLAGS[name].value for name in names}


def _all_flags():
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    return {flag.name: flag.value for flag in own}


if __name__ == "__main__":
    command_line.run(main)
