"""Shows that ported weights do in our networks what they did in their own."""

import itertools
import pathlib

import cv2
import keras
import numpy as np

from keras_vas.errors import UserError
from keras_vas.video.reader import open_video
from keras_vas.weights import cache as cache_folder
from keras_vas.weights import (
    containers,
    downloads,
    names,
    networks,
    porting,
    stock_networks,
)

TOLERANCE = 1e-4
CRICKET = 227  # "playing cricket" among the 400 classes of Kinetics
CRICKET_FRAMES = 40
CRICKET_PROBABILITY = 0.99
_CRICKET_CLIP = (
    "https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/"
    "6da69a33d21bcd7d410e2f8df42a0aa959a14959/data/v_CricketShot_g04_c01_rgb.gif"
)
_CRICKET_SHA256 = (
    "26502e0daa557579befad05035d4f37c8ee59a7f963e9e06be32477303a23f89"
)
_SIDE = 224
_IMAGES = 8
_BEST = 5


def stage_differences(weights, frames):
    """Compares the stages of our network with those of keras.applications.

    The stock network, SAME-padded for Inception V3, has its own
    preprocessing and the same weights: those that Keras itself loads from
    the file, if it is an `.h5` of Inception V3 that is still there.

    Args:
        weights: `porting.Weights` of one of `stock_networks.ARCHITECTURES`.
        frames: RGB 0..255, `(batch, height, width, 3)`, sides multiples of
            32.

    Returns:
        List of five floats, the largest difference in a stage, divided by
        the largest value in it.
    """
    architecture = weights.architecture
    stock = stock_networks.build(architecture)
    _give(stock, weights)
    if architecture == "inception_v3":
        stock = stock_networks.same_padded(stock)
    ours = networks.build(architecture, pixels=True)
    porting.assign(ours, networks.PREFIX, weights)
    expected = _run(
        stock_networks.stages(stock, architecture),
        stock_networks.preprocess(architecture, frames),
    )
    found = _run(ours, frames)
    return [
        float(np.abs(a - b).max() / np.abs(b).max())
        for a, b in zip(found, expected, strict=True)
    ]


def _give(stock, weights):
    """Gives the stock network its weights."""
    file = pathlib.Path(weights.source)
    if (weights.architecture, weights.form) == ("inception_v3", "h5") and (
        file.is_file() and containers.sha256(file) == weights.sha256
    ):
        loaded = stock_networks.load(weights.architecture, file)
        values = loaded.get_weights()[: len(stock.weights)]
        stock.set_weights(values)
        return
    layers = {layer.name: layer.name for layer in stock.layers}
    if weights.architecture == "inception_v3":
        layers = names.inception_layers(layers)
    for layer in stock.layers:
        for variable in layer.variables:
            name = f"{layers[layer.name]}/{variable.name}"
            variable.assign(weights.arrays[name])


def probabilities(weights, frames):
    """Probabilities of the classes that the published network knows.

    Args:
        weights: `porting.Weights` with a head, of I3D or ResNet-50.
        frames: RGB 0..255, `(time, 224, 224, 3)`.

    Returns:
        Float array, (1, classes) of I3D, which sees the frames as one clip,
        (time, classes) of ResNet-50.

    Raises:
        UserError: there is no head.
    """
    if weights.architecture == "inception_v3":
        raise UserError(
            "Inception V3 is padded here as its head does not know it, so it "
            "cannot name what is in a clip"
        )
    if f"{names.HEAD}/kernel" not in weights.arrays:
        raise UserError(
            f"{weights.source} has no layer of classes, so it cannot name "
            "what is in a clip"
        )
    network = networks.build(weights.architecture, pixels=True)
    porting.assign(network, networks.PREFIX, weights)
    if weights.architecture == "i3d":
        last = _run(network, np.asarray(frames)[None])[-1]
        pooled = keras.ops.average_pool(last, (2, 7, 7), strides=1)
        pooled = keras.ops.convert_to_numpy(pooled).mean(axis=(1, 2, 3))
    else:
        pooled = _run(network, frames)[-1].mean(axis=(1, 2))
    logits = pooled @ weights.arrays[f"{names.HEAD}/kernel"]
    logits += weights.arrays[f"{names.HEAD}/bias"]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _run(network, frames):
    """Outputs of a network as arrays, without the time that tracing takes."""
    outputs = network(np.asarray(frames, np.float32), training=False)
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def read_frames(path, count):
    """The first frames of a clip, their middle squares at 224 x 224.

    Args:
        path: video or GIF.
        count: how many frames.

    Returns:
        uint8 array `(count, 224, 224, 3)`, RGB.

    Raises:
        UserError: it cannot be read, or is shorter.
    """
    video = itertools.islice(open_video(path), count)
    frames = [_square(frame.image) for frame in video]
    if len(frames) < count:
        raise UserError(
            f"{path} has {len(frames)} frames that can be read instead of "
            f"{count}; name another clip"
        )
    return np.stack(frames)


def _square(image):
    side = min(image.shape[:2])
    top, left = ((full - side) // 2 for full in image.shape[:2])
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def verify(weights, clip=None, expect=None, cache=None):
    """Runs all proofs that there are for some weights.

    Args:
        weights: `porting.Weights`.
        clip: video that shows `expect`. For I3D, the authors' clip of a game
            of cricket; downloaded if None. For the others, none if None.
        expect: number of the class that a clip of ResNet-50 shows.
        cache: folder of the cache, see `cache.folder`.

    Yields:
        Text of one line for each proof.

    Raises:
        UserError: a proof fails, or there is no clip.
    """
    if weights.architecture in stock_networks.ARCHITECTURES:
        frames = np.random.default_rng(0).uniform(0, 255, (1, 96, 128, 3))
        differences = stage_differences(weights, frames)
        text = ", ".join(f"{difference:.1e}" for difference in differences)
        if not max(differences) <= TOLERANCE:
            raise UserError(
                f"stages differ from keras.applications by {text} instead of "
                f"{TOLERANCE:.0e} at most; port the weights again"
            )
        yield f"stages 1 to 5 differ from keras.applications by {text}"
    if weights.architecture == "i3d":
        clip = clip or _cricket_clip(cache)
        frames = read_frames(clip, CRICKET_FRAMES)
        found = probabilities(weights, frames)[0]
        if not found[CRICKET] >= CRICKET_PROBABILITY:
            raise UserError(
                f"{clip} is playing cricket with {found[CRICKET]:.4f} instead "
                f"of {CRICKET_PROBABILITY} or more; port the weights again, "
                "or give the authors' clip"
            )
        yield f"{clip} is playing cricket with {found[CRICKET]:.4f}"
    elif clip is not None:
        frames = read_frames(clip, _IMAGES)
        found = probabilities(weights, frames).mean(axis=0)
        best = np.argsort(found)[::-1][:_BEST]
        if expect is not None and best[0] != expect:
            raise UserError(
                f"{clip} is of class {best[0]} with {found[best[0]]:.4f}, of "
                f"class {expect} with {found[expect]:.4f}"
            )
        text = ", ".join(f"{number} ({found[number]:.4f})" for number in best)
        yield f"classes of {clip}: {text}"


def _cricket_clip(cache):
    name = _CRICKET_CLIP.rpartition("/")[2]
    path = cache_folder.download_path(name, cache)
    try:
        return downloads.download(_CRICKET_CLIP, path, sha256=_CRICKET_SHA256)
    except downloads.DownloadError as error:
        raise UserError(
            f"the clip of the proof could not be had ({error}); get {name} "
            "by hand and give it as --clip=FILE"
        ) from error
