"""Trains a model on Keras' JAX backend, where TensorFlow need not be there.

    python -m keras_vas.training.on_jax.pack_clips --data=RECORDS
        --output=PACKED                                          (TensorFlow)
    python -m keras_vas.training.on_jax.train --workdir=RUN
        --clips=PACKED/train.npz --validation_clips=PACKED/validation.npz
    python evaluate.py --workdir=RUN --data=RECORDS --output=DIR (TensorFlow)

The run directory is that of train.py: evaluate.py and `--init_run` read it. A
run is trained in one go; there is no resumption. It ends with
RUN/jax_training.json: losses, samples per second, peak memory.
"""

import json
import os
import pathlib
import resource
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from absl import flags

from keras_vas import command_line, errors, files, metrics
from keras_vas.command_line import build
from keras_vas.models import registry
from keras_vas.models.segmentation_model import WORD_VECTORS
from keras_vas.models.variables import training_only
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import fine_tuning, initialisation, settings
from keras_vas.training.on_jax.clip_pack import ClipPack
from keras_vas.training.on_jax.steps import JaxSteps

FLAGS = flags.FLAGS
_AHEAD = 3
_NOT_HERE = (
    "spatial_run", "temporal_run", "spatial_names", "temporal_names",
    "word_vectors",
)  # fmt: skip


def define_flags():
    """Defines all flags; returns the names of those that make a run."""
    flags.DEFINE_string(
        "clips", None, "File of packed clips to train on.", required=True
    )
    flags.DEFINE_string(
        "validation_clips",
        None,
        "File of packed clips that choose the best checkpoint; without it, "
        "the training metrics do.",
    )
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, which is made.", required=True
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16"],
        "Precision of the arithmetic.",
    )
    define = command_line.define_flags
    return [
        "clips", "validation_clips", "workdir", "precision",
        *define(settings.Course),
        *define(settings.Objective, without=("names_weight",)),
        *define(settings.Optimization, defaults={"schedule": "cosine"}),
        *define(settings.Beginning, without=_NOT_HERE),
        *settings.define_model_flags(),
    ]  # fmt: skip


def scores(tables):
    """Dict of `loss`, `mean_iou`, `overall_iou` from tables of batches."""
    loss, intersection, union = np.concatenate(tables).astype(np.float64).T
    return {
        "loss": float(loss.mean()),
        "mean_iou": float(np.mean(metrics.iou(intersection, union))),
        "overall_iou": float(intersection.sum() / max(union.sum(), 1.0)),
    }


def train_epoch(steps, pack, epoch, course):
    """One pass over the clips; returns its scores and samples per second."""
    size = course.batch_size
    order = np.random.default_rng([course.seed, epoch]).permutation(len(pack))
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


def validate(steps, pack, batch_size):
    """The scores of a pack, every sample once."""
    size = min(batch_size, len(pack))
    tables = []
    for first in range(0, len(pack), size):
        samples = np.arange(first, first + size)
        table = steps.evaluate(pack.batch(samples.clip(max=len(pack) - 1)))
        tables.append(np.asarray(table)[samples < len(pack)])
    return scores(tables)


def build_model(pack, course, beginning):
    """The model that the flags describe, with the weights that they name."""
    model = build(
        registry.model_class(FLAGS.model),
        vocabulary_size=len(pack.words) + 2,
        num_frames=pack.frames.shape[1],
    )
    if pack.word_vectors.size:
        layer = model.get_layer(WORD_VECTORS)
        if pack.word_vectors.shape[1] != layer.output_dim:
            raise errors.UserError(
                f"{FLAGS.clips} holds word vectors of "
                f"{pack.word_vectors.shape[1]} numbers; give "
                f"--embedding_dim={pack.word_vectors.shape[1]}"
            )
        layer.set_weights([pack.word_vectors])
    initialisation.initialise(model, beginning, None, None, course.seed)
    fine_tuning.set_statistics_momentum(model, course.statistics_momentum)
    return model


def peak_memory():
    """Peak bytes on the device, or of this process where there is only one."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics:
        return statistics["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def start_run(model, pack):
    """Writes config.json and vocabulary.txt of the run."""
    height, width = pack.size
    run_directory.start(
        FLAGS.workdir,
        flags={
            **{name: FLAGS[name].value for name in RUN_FLAGS},
            "frame_height": height,
            "frame_width": width,
        },
        architecture=FLAGS.model,
        model=model.inference_config(),
        data_manifest=pack.manifest,
        words=pack.words.tolist(),
    )


def read_packs(batch_size):
    """The packs to train on and to choose by, the second perhaps `None`."""
    pack = ClipPack.load(FLAGS.clips)
    if len(pack) < batch_size:
        raise errors.UserError(
            f"{FLAGS.clips} holds {len(pack)} samples, fewer than one batch "
            f"of {batch_size}; give a smaller --batch_size"
        )
    if not FLAGS.validation_clips:
        return pack, None
    validation = ClipPack.load(FLAGS.validation_clips)
    if not np.array_equal(validation.words, pack.words) or (
        validation.size != pack.size
    ):
        raise errors.UserError(
            f"{FLAGS.validation_clips} has another vocabulary or size than "
            f"{FLAGS.clips}; pack both in one run of pack_clips"
        )
    return pack, validation


def main(_):
    """Trains as the flags say."""
    if run_directory.is_run(FLAGS.workdir):
        raise errors.UserError(
            f"--workdir={FLAGS.workdir} holds a run already; name a new folder"
        )
    course = build(settings.Course)
    keras.utils.set_random_seed(course.seed)
    if FLAGS.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    pack, validation = read_packs(course.batch_size)
    model = build_model(pack, course, build(settings.Beginning))
    steps_per_epoch = len(pack) // course.batch_size
    steps = JaxSteps(
        model,
        build(settings.Optimization),
        build(settings.Objective),
        epochs=course.epochs,
        steps_per_epoch=steps_per_epoch,
    )
    without = training_only(model)
    start_run(model, pack)
    trained = sum(value.size for value in steps.state["trainable"])
    print(
        f"{len(pack)} samples; {model.count_params():,} parameters, "
        f"{trained:,} of them trained, on {jax.local_devices()[0].device_kind}",
        flush=True,
    )
    best, epochs = None, []
    for epoch in range(1, course.epochs + 1):
        found, speed = train_epoch(steps, pack, epoch, course)
        if not np.isfinite(found["loss"]):
            raise errors.UserError(
                f"the loss became NaN or infinite in epoch {epoch}; lower "
                "--learning_rate or set --clip_norm, in a new --workdir"
            )
        chosen = found
        if validation:
            chosen = validate(steps, validation, course.batch_size)
        is_best = best is None or chosen["mean_iou"] > best["mean_iou"]
        if is_best:
            best = {**chosen, "epoch": epoch}
        metadata = {
            "epoch": epoch,
            "step": epoch * steps_per_epoch,
            "best": best,
            "training_only": without,
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
            f"epoch {epoch}/{course.epochs}: loss {found['loss']:.4f}, "
            f"mean IoU {found['mean_iou']:.3f}"
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
    RUN_FLAGS = define_flags()
    command_line.run(main)
