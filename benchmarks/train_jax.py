"""Trains CSTM on Keras' JAX backend, where TensorFlow need not be installed.

    python benchmarks/pack_clips.py --data=RECORDS --output=PACKED (TensorFlow)
    python benchmarks/train_jax.py --workdir=RUN --clips=PACKED/train.npz
        --validation_clips=PACKED/validation.npz
    python evaluate.py --workdir=RUN --data=RECORDS --output=DIR (TensorFlow)

The run directory is that of train.py: evaluate.py and `--init_run` read it. A
run is trained in one go; there is no resumption. It ends with
RUN/jax_training.json: losses, samples per second, peak memory.
"""

import json
import os
import pathlib
import resource
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from absl import flags
from jax_steps import JaxSteps

from keras_vas import CSTM, command_line, errors, files, losses, metrics
from keras_vas.models import variables
from keras_vas.models.cstm import part_names
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import fine_tuning, initialisation
from keras_vas.training.on_jax.clip_pack import ClipPack

FLAGS = flags.FLAGS

flags.DEFINE_string("clips", None, "Packed clips to train on.", required=True)
flags.DEFINE_string("validation_clips", None, "To choose the best checkpoint.")
flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
flags.DEFINE_integer("epochs", 12, "Passes over the clips.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Samples in a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", 5e-4, "The highest; cosine decay follows.")
flags.DEFINE_integer("warmup_steps", 0, "Linear, 0: none.", lower_bound=0)
flags.DEFINE_float("clip_norm", 0.0, "Of all gradients, 0: none.")
flags.DEFINE_float(
    "ema", 0.0, "Momentum of the averaged weights, which are kept.",
    lower_bound=0.0, upper_bound=1.0,
)  # fmt: skip
flags.DEFINE_enum("loss", "bce_dice", losses.KINDS, "Of every mask head.")
flags.DEFINE_float("positive_weight", 1.5, "Of the actor's pixels.")
flags.DEFINE_boolean("deep_supervision", True, "A loss on all five stages.")
flags.DEFINE_float(
    "statistics_momentum", 0.99, "Of batch normalization's statistics."
)
flags.DEFINE_enum(
    "precision", "float32", ["float32", "bfloat16"], "Of the arithmetic."
)
flags.DEFINE_integer("seed", 0, "Of weights and order.")

flags.DEFINE_enum("encoders", "both", ["spatial", "temporal", "both"], "")
flags.DEFINE_string("spatial_backbone", "inception_v3", "")
flags.DEFINE_string("temporal_backbone", "i3d", "")
flags.DEFINE_enum("fusion", "lgfs", ["lgfs", "add", "max"], "")
flags.DEFINE_list("cmam_stages", ["1", "2", "3", "4", "5"], "May be empty.")
flags.DEFINE_enum("coordinate_fusion", "conv", ["conv", "linear"], "")
flags.DEFINE_enum("gate", "residual", ["residual", "centred"], "")
flags.DEFINE_enum("sentence", "mean", ["mean", "last"], "For the decoder.")
flags.DEFINE_float("width", 1.0, "Multiplies the channels of all layers.")
flags.DEFINE_integer("decoder_channels", 256, "", lower_bound=1)
flags.DEFINE_integer("key_channels", 256, "", lower_bound=1)
flags.DEFINE_integer("text_channels", 300, "", lower_bound=1)
flags.DEFINE_integer("embedding_dim", 300, "", lower_bound=1)
flags.DEFINE_boolean("train_embeddings", False, "Train the word vectors.")

flags.DEFINE_enum("freeze", "none", list(fine_tuning.FROZEN), "As in train.py.")
flags.DEFINE_string("init_run", None, "Run whose weights to begin with.")
flags.DEFINE_string(
    "spatial_weights", None, "Pretrained, see `python -m keras_vas.weights`."
)
flags.DEFINE_string("temporal_weights", None, "The same, temporal.")

_AHEAD = 3
_MODEL_FLAGS = (
    "encoders", "spatial_backbone", "temporal_backbone", "fusion",
    "coordinate_fusion", "gate", "sentence", "width", "decoder_channels",
    "key_channels", "text_channels", "embedding_dim", "train_embeddings",
    "deep_supervision",
)  # fmt: skip


def scores(tables):
    """Dict of `loss`, `mean_iou`, `overall_iou` from tables of batches."""
    loss, intersection, union = np.concatenate(tables).astype(np.float64).T
    return {
        "loss": float(loss.mean()),
        "mean_iou": float(np.mean(metrics.iou(intersection, union))),
        "overall_iou": float(intersection.sum() / max(union.sum(), 1.0)),
    }


def train_epoch(steps, pack, epoch):
    """One pass over the clips; returns its scores and samples per second."""
    size = FLAGS.batch_size
    order = np.random.default_rng([FLAGS.seed, epoch]).permutation(len(pack))
    tables = []
    for first in range(0, len(pack) - size + 1, size):
        samples = order[first : first + size]
        tables.append(steps.update(pack.batch(samples)))
        # The device works while the next batches are made, but few of them.
        jax.block_until_ready(tables[max(0, len(tables) - _AHEAD)])
        if first == 0:
            # The first step of a run compiles; it is not timed.
            started = time.perf_counter()
    found = scores([np.asarray(table) for table in tables])
    seconds = time.perf_counter() - started
    speed = (len(tables) - 1) * size / seconds if len(tables) > 1 else None
    return found, speed


def validate(steps, pack):
    """The scores of a pack, every sample once."""
    size = min(FLAGS.batch_size, len(pack))
    tables = []
    for first in range(0, len(pack), size):
        samples = np.arange(first, first + size)
        table = steps.evaluate(pack.batch(samples.clip(max=len(pack) - 1)))
        tables.append(np.asarray(table)[samples < len(pack)])
    return scores(tables)


def build_model(pack):
    """The model that the flags describe, with the weights that they name."""
    try:
        model = CSTM(
            vocabulary_size=len(pack.words) + 2,
            cmam_stages=tuple(int(stage) for stage in FLAGS.cmam_stages),
            num_frames=pack.frames.shape[1],
            **{name: FLAGS[name].value for name in _MODEL_FLAGS},
        )
    except ValueError as error:
        raise errors.UserError(str(error)) from error
    if pack.word_vectors.size:
        if pack.word_vectors.shape[1] != FLAGS.embedding_dim:
            raise errors.UserError(
                f"{FLAGS.clips} holds word vectors of "
                f"{pack.word_vectors.shape[1]} numbers; give "
                f"--embedding_dim={pack.word_vectors.shape[1]}"
            )
        layer = model.get_layer(part_names.WORD_VECTORS)
        layer.set_weights([pack.word_vectors])
    for encoder in ("spatial", "temporal"):
        what = FLAGS[f"{encoder}_weights"].value
        if what:
            from keras_vas import weights

            found = weights.load(what, FLAGS[f"{encoder}_backbone"].value)
            weights.assign(model, f"{encoder}_backbone", found)
    if FLAGS.init_run:
        initialisation.assign_model(model, FLAGS.init_run)
    fine_tuning.freeze(model, FLAGS.freeze)
    fine_tuning.set_statistics_momentum(model, FLAGS.statistics_momentum)
    return model


def peak_memory():
    """Peak bytes on the device, or of this process where there is only one."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics:
        return statistics["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Words:
    """What `run_directory.start` needs of a vocabulary."""

    def __init__(self, words):
        self.words = words

    def save(self, path):
        with files.atomic_path(path) as temporary:
            temporary.write_text(
                "".join(f"{word}\n" for word in self.words), encoding="utf-8"
            )


def start_run(model, pack):
    """Writes config.json and vocabulary.txt of the run."""
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    height, width = pack.size
    run_directory.start(
        FLAGS.workdir,
        flags={
            **{flag.name: flag.value for flag in own},
            "frame_height": height,
            "frame_width": width,
        },
        model={**model.get_config(), "deep_supervision": False},
        data_manifest=pack.manifest,
        vocabulary=_Words(pack.words),
    )


def read_packs():
    """The packs to train on and to choose by, the second perhaps `None`."""
    pack = ClipPack.load(FLAGS.clips)
    if len(pack) < FLAGS.batch_size:
        raise errors.UserError(
            f"{FLAGS.clips} holds {len(pack)} samples, fewer than one batch "
            f"of {FLAGS.batch_size}; give a smaller --batch_size"
        )
    if not FLAGS.validation_clips:
        return pack, None
    validation = ClipPack.load(FLAGS.validation_clips)
    if not np.array_equal(validation.words, pack.words) or (
        validation.size != pack.size
    ):
        raise errors.UserError(
            f"{FLAGS.validation_clips} has another vocabulary or size than "
            f"{FLAGS.clips}; pack both in one run of benchmarks/pack_clips.py"
        )
    return pack, validation


def main(_):
    """Trains as the flags say."""
    if run_directory.is_run(FLAGS.workdir):
        raise errors.UserError(
            f"--workdir={FLAGS.workdir} holds a run already; name a new folder"
        )
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    pack, validation = read_packs()
    model = build_model(pack)
    steps_per_epoch = len(pack) // FLAGS.batch_size
    steps = JaxSteps(
        model,
        learning_rate=FLAGS.learning_rate,
        total_steps=FLAGS.epochs * steps_per_epoch,
        warmup_steps=FLAGS.warmup_steps,
        clip_norm=FLAGS.clip_norm,
        ema=FLAGS.ema,
        loss=FLAGS.loss,
        positive_weight=FLAGS.positive_weight,
    )
    training_only = variables.training_only(model)
    start_run(model, pack)
    trained = sum(value.size for value in steps.state["trainable"])
    print(
        f"{len(pack)} samples; {model.count_params():,} parameters, "
        f"{trained:,} of them trained, on {jax.local_devices()[0].device_kind}",
        flush=True,
    )
    best, epochs = None, []
    for epoch in range(1, FLAGS.epochs + 1):
        found, speed = train_epoch(steps, pack, epoch)
        if not np.isfinite(found["loss"]):
            raise errors.UserError(
                f"the loss became NaN or infinite in epoch {epoch}; lower "
                "--learning_rate or set --clip_norm, in a new --workdir"
            )
        chosen = validate(steps, validation) if validation else found
        is_best = best is None or chosen["mean_iou"] > best["mean_iou"]
        if is_best:
            best = {**chosen, "epoch": epoch}
        metadata = {
            "epoch": epoch,
            "step": epoch * steps_per_epoch,
            "best": best,
            "training_only": training_only,
        }
        arrays = steps.arrays()
        if is_best:
            checkpoint.save(
                run_directory.best_path(FLAGS.workdir), arrays, metadata
            )
        checkpoint.save(
            run_directory.last_path(FLAGS.workdir), arrays, metadata
        )
        epochs.append(
            {
                "training": found,
                "validation": chosen if validation else None,
                "samples_per_second": speed,
            }
        )
        print(
            f"epoch {epoch}/{FLAGS.epochs}: loss {found['loss']:.4f}, mean IoU "
            f"{found['mean_iou']:.3f}"
            + (f"; validation {chosen['mean_iou']:.3f}" if validation else "")
            + (f"; {speed:.1f} samples/s" if speed else ""),
            flush=True,
        )
    report = {
        "device": jax.local_devices()[0].device_kind,
        "precision": FLAGS.precision,
        "peak_bytes": peak_memory(),
        "epochs": epochs,
    }
    path = pathlib.Path(FLAGS.workdir) / "jax_training.json"
    with files.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    print(
        f"best epoch {best['epoch']}, mean IoU {best['mean_iou']:.3f}; peak "
        f"memory {report['peak_bytes'] / 2**30:.2f} GiB; written to "
        f"{FLAGS.workdir}"
    )


if __name__ == "__main__":
    command_line.run(main)
