r"""Teaches a backbone what moving actors look like, or what they do.

    python -m keras_vas.training.pretrain_backbone --backbone=i3d \
        --width=0.25 --output=DIR

It is to the narrow models of the ablations what ImageNet and Kinetics are to
the paper's: classes without any sentence. A spatial backbone names the look
(colour and shape) at each pixel of the target frame, a temporal one the
action; both see training clips only. `DIR/checkpoints/best.npz` is what
`train.py --spatial_weights=DIR` or `--temporal_weights=DIR` begins with.
"""

import keras
import numpy as np
import tqdm
from absl import flags

from keras_vas import command_line, errors
from keras_vas.backbones import SPATIAL_BACKBONES, STAGES, TEMPORAL_BACKBONES
from keras_vas.data.moving_actors import drawing, language
from keras_vas.data.records import schema
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "backbone",
    None,
    [*SPATIAL_BACKBONES, *TEMPORAL_BACKBONES],
    "The network to teach.",
    required=True,
)
flags.DEFINE_string(
    "output", None, "Folder to write the taught backbone to.", required=True
)
flags.DEFINE_float("width", 0.25, "What the published channels are times.")
flags.DEFINE_integer("steps", 400, "Batches to train on.", lower_bound=1)
flags.DEFINE_integer("batch_size", 16, "Clips in a batch.", lower_bound=1)
flags.DEFINE_integer("clips", 2800, "Clips to train on.", lower_bound=1)
flags.DEFINE_integer("held_out", 200, "Clips to test on.", lower_bound=1)
flags.DEFINE_integer("size", 64, "Height and width of the clips in pixels.")
flags.DEFINE_integer(
    "seed",
    0,
    "Decides weights, clips and their order.",
    lower_bound=0,
    upper_bound=2**32 - 1,
)

_BACKGROUND = 0
_BACKGROUND_WEIGHT = 0.15
_HEAD_CHANNELS = 32


def main(_):
    """Trains, tests on clips held out, and writes the backbone."""
    path = run_directory.best_path(FLAGS.output)
    if path.exists():
        raise errors.UserError(f"{path} is there already; name a new --output")
    keras.utils.set_random_seed(FLAGS.seed)
    temporal = FLAGS.backbone in TEMPORAL_BACKBONES
    names = list(language.ACTIONS if temporal else language.LOOKS)
    frames, labels = _clips(
        FLAGS.clips + FLAGS.held_out, FLAGS.size, FLAGS.seed, temporal, names
    )
    model = classifier(FLAGS.backbone, FLAGS.width, FLAGS.size, 1 + len(names))
    _train(
        model,
        frames[: FLAGS.clips],
        labels[: FLAGS.clips],
        FLAGS.steps,
        FLAGS.batch_size,
        FLAGS.seed,
    )
    _, accuracy = model.evaluate(
        frames[FLAGS.clips :],
        labels[FLAGS.clips :],
        batch_size=50,
        verbose=0,
    )
    prefix = prefix_of(FLAGS.backbone)
    arrays = {
        variable.path: variable.numpy()
        for variable in model.weights
        if variable.path.startswith(prefix)
    }
    metadata = {"actor_accuracy": accuracy, "flags": FLAGS.flag_values_dict()}
    checkpoint.save(path, arrays, metadata)
    print(
        f"{FLAGS.backbone}: right class at {100 * accuracy:.1f} % of the "
        f"actors' pixels of {FLAGS.held_out} clips; {len(arrays)} arrays in "
        f"{path}"
    )


def _train(model, frames, labels, steps, batch_size, seed):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=3e-3, warmup_steps=steps // 13
    )
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        loss=_loss,
        metrics=[actor_accuracy],
    )
    order = np.random.default_rng(seed)
    for _ in (bar := tqdm.trange(steps, unit=" steps")):
        chosen = order.integers(0, len(frames), batch_size)
        logs = model.train_on_batch(
            frames[chosen], labels[chosen], return_dict=True
        )
        bar.set_postfix(
            {k: f"{float(v):.3f}" for k, v in logs.items()}, refresh=False
        )
        model.reset_metrics()


def prefix_of(backbone):
    """What the names of a backbone's layers begin with in a CSTM."""
    encoder = "temporal" if backbone in TEMPORAL_BACKBONES else "spatial"
    return f"{encoder}_backbone"


def classifier(name, width, size, classes):
    """Clips to a class at every pixel of the target frame.

    Args:
        name: of the backbone.
        width: float.
        size: int, height and width of the frames in pixels.
        classes: int, with the background.

    Returns:
        `keras.Model` from RGB 0..255, `(batch, [8,] size, size, 3)`, to
        logits `(batch, size, size, classes)`.
    """
    backbone = {**SPATIAL_BACKBONES, **TEMPORAL_BACKBONES}[name](
        width, prefix_of(name), False
    )
    clip = (schema.CLIP_LENGTH,) if name in TEMPORAL_BACKBONES else ()
    frames = keras.Input((*clip, size, size, 3))
    x = backbone.preprocess(frames)
    maps = []
    for stage in STAGES:
        x = backbone.stage(stage, x)
        maps.append(x[:, x.shape[1] // 2] if clip else x)
    top = None
    for feature in reversed(maps):
        lateral = keras.layers.Conv2D(_HEAD_CHANNELS, 1)(feature)
        top = lateral if top is None else lateral + _doubled(top)
    top = keras.layers.ReLU()(top)
    logits = keras.layers.Conv2D(classes, 3, padding="same")(top)
    model = keras.Model(frames, _doubled(logits))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return model


def _doubled(x):
    return keras.layers.UpSampling2D(2, interpolation="bilinear")(x)


def _clips(count, size, seed, temporal, names):
    """Frames, uint8, and the class of every pixel of the target frame."""
    frames, labels = [], np.zeros((count, size, size), np.uint8)
    for i in range(count):
        clip = drawing.draw_clip(seed, "train", i, height=size, width=size)
        frames.append(
            clip.frames if temporal else clip.frames[schema.TARGET_INDEX]
        )
        classes = clip.actions if temporal else clip.looks
        for mask, name in zip(clip.masks, classes, strict=True):
            labels[i][mask] = 1 + names.index(name)
    return np.stack(frames), labels


def _loss(labels, logits):
    """Cross-entropy, in which the background counts less."""
    each = keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
    actor = keras.ops.cast(labels != _BACKGROUND, each.dtype)
    weight = actor + _BACKGROUND_WEIGHT * (1 - actor)
    return keras.ops.mean(weight * each)


def actor_accuracy(labels, logits):
    """Share of the actors' pixels, in a batch, that have the right class."""
    predicted = keras.ops.argmax(logits, -1)
    right = keras.ops.equal(predicted, keras.ops.cast(labels, predicted.dtype))
    actor = keras.ops.cast(labels != _BACKGROUND, "float32")
    right = keras.ops.cast(right, "float32") * actor
    return keras.ops.sum(right) / keras.ops.maximum(keras.ops.sum(actor), 1)


if __name__ == "__main__":
    command_line.run(main)
