"""Makes the direction of people that `class_prior` reads.

    python -m keras_vas.weights.person_direction --source=COCO_FOLDER

Of every picture whose objects are all outlined, letterboxed as the model sees
it, the mean feature of stage 5 within people less that outside of everything;
the direction is the mean over the pictures. `person_directions.npz` has one
array (channels,) for each backbone, under its name.
"""

import cv2
import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import flags

from keras_vas import command_line, files, weights
from keras_vas.backbones import SPATIAL_BACKBONES, STAGES
from keras_vas.data import transforms
from keras_vas.data.picture_clips import coco
from keras_vas.errors import UserError
from keras_vas.weights import class_prior

_HEIGHT, _WIDTH = 192, 320
_WITHIN, _OUTSIDE = 0.6, 0.95  # share of a cell


def measure(network, pictures):
    """The direction of people in the features of a network.

    Args:
        network: callable from float32 `(1, height, width, 3)` pixel values to
            `(1, height / 32, width / 32, channels)`.
        pictures: iterable of `coco.Picture`, all of whose objects are
            outlined.

    Returns:
        float32 array (channels,).

    Raises:
        UserError: no picture has people and something else.
    """
    within, outside = [], []
    for picture in pictures:
        size = picture.height, picture.width
        people, background = np.zeros(size, bool), np.ones(size, bool)
        for instance in picture.instances:
            mask = instance.mask(*size)
            background &= ~mask
            if instance.category == "person":
                people |= mask
        if not people.any():
            continue
        image = _letterboxed(picture.read())
        feature = np.array(network(image[None]))[0]
        cells = feature.shape[1::-1]
        inside, beside = (
            cv2.resize(
                _letterboxed(x[..., None])[..., 0],
                cells,
                interpolation=cv2.INTER_AREA,
            )
            > share
            for x, share in ((people, _WITHIN), (background, _OUTSIDE))
        )
        if inside.any() and beside.any():
            within.append(feature[inside].mean(axis=0))
            outside.append(feature[beside].mean(axis=0))
    if not within:
        raise UserError(
            "no picture shows people and something else, all outlined; give "
            "--source a folder with such pictures"
        )
    return np.mean(within, axis=0) - np.mean(outside, axis=0)


def _letterboxed(picture):
    return transforms.letterbox(
        picture.astype(np.float32), _HEIGHT, _WIDTH
    ).numpy()


def _network(architecture, what):
    frames = keras.Input((_HEIGHT, _WIDTH, 3))
    backbone = SPATIAL_BACKBONES[architecture](name="backbone")
    x = backbone.preprocess(frames)
    for stage in STAGES:
        x = backbone.stage(stage, x)
    model = keras.Model(frames, x)
    weights.assign(model, "backbone", weights.load(what, architecture))
    return tf.function(lambda x: model(x, training=False))


def main(_):
    """Adds the direction to the file."""
    options = flags.FLAGS
    pictures = [x for x in coco.read(options.source) if x.whole]
    network = _network(options.backbone, options.weights)
    direction = measure(network, tqdm.tqdm(pictures, unit="picture"))
    with np.load(class_prior.PERSON_DIRECTIONS) as stored:
        known = dict(stored)
    known[options.backbone] = direction.astype(np.float16)
    with files.atomic_path(class_prior.PERSON_DIRECTIONS) as path:
        np.savez_compressed(path, **known)
    print(f"written to {class_prior.PERSON_DIRECTIONS}: {', '.join(known)}")


if __name__ == "__main__":
    flags.DEFINE_string(
        "source", None, "Folder of pictures in COCO's format.", required=True
    )
    flags.DEFINE_enum(
        "backbone",
        "resnet50",
        list(SPATIAL_BACKBONES),
        "Spatial backbone whose features are taken.",
    )
    flags.DEFINE_string(
        "weights", "imagenet", "Its weights: a name of the registry, or a file."
    )
    command_line.run(main)
