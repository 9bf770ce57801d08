"""Cut-outs of real objects, moved over real pictures.

Every clip has a background picture and one to three objects that are cut out
of other pictures. As in `moving_actors`, an object may have a *twin*, the same
cut-out with another motion, and a *rival*, another kind of object with the
same motion, so that neither looks nor motion alone finds it. Camera and
objects move by affine steps; outlines are soft, colours are drawn towards
those of the background, and objects cover each other, so that a paste does
not betray itself by its edge, its light or its completeness.
"""

import dataclasses

import cv2
import numpy as np

from keras_vas.data.records import schema

HEIGHT, WIDTH = 224, 384
_TIME = np.arange(schema.CLIP_LENGTH) - schema.TARGET_INDEX
_SIZES = (0.28, 0.85)  # of an object's longer side, of the frame's height
_LEAST_VISIBLE = 0.45  # of an object that a sentence may mean
_SPEED = (0.012, 0.035)  # of the width, for each frame of a clip


@dataclasses.dataclass(frozen=True, eq=False)
class CutOut:
    """A real object, in the smallest rectangle with a margin around it.

    Attributes:
        image: uint8 RGB array (height, width, 3).
        mask: bool array (height, width).
    """

    image: np.ndarray
    mask: np.ndarray


def cut_out(image, mask, margin=6):
    """The `CutOut` of an object in a picture."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    window = (
        slice(top, rows[-1] + margin + 1),
        slice(left, columns[-1] + margin + 1),
    )
    return CutOut(image[window].copy(), mask[window].copy())


def draw(rng, background, cut_outs, motions):
    """Draws a clip of moving cut-outs.

    Args:
        rng: `np.random.Generator`.
        background: uint8 RGB array of any size.
        cut_outs: list of `CutOut`, drawn in a random order.
        motions: list of keys of `language.MOTIONS`, one for each.

    Returns:
        `(frames, masks, centres, visible)`: uint8 (8, `HEIGHT`, `WIDTH`, 3);
        bool (objects, `HEIGHT`, `WIDTH`), the visible part of each at the
        target frame; float (objects,), the middle of each from 0, left, to
        1, right; bool (objects,), whether enough of it is seen.
    """
    camera = _camera(rng)
    frames = np.stack(
        [_background(background, camera[t]) for t in range(len(_TIME))]
    ).astype(np.float32)
    masks = np.zeros((len(cut_outs), HEIGHT, WIDTH), bool)
    areas = np.zeros(len(cut_outs))
    places = _places(rng, len(cut_outs))
    for number in rng.permutation(len(cut_outs)):
        paths = _paths(rng, cut_outs[number], motions[number], places[number])
        image, alpha = _prepared(rng, cut_outs[number], background)
        for t, frame in enumerate(frames):
            drawn, cover = _warped(image, alpha, paths[t], camera[t])
            frame += (drawn - frame) * cover[..., None]
            if t == schema.TARGET_INDEX:
                own = cover > 0.5
                masks &= ~own
                masks[number] = own
        _, full = _warped(
            image, alpha, paths[schema.TARGET_INDEX], np.eye(3), pad=1
        )
        areas[number] = (full > 0.5).sum()
    frames = _finished(rng, frames)
    seen = masks.sum(axis=(1, 2))
    columns = (np.arange(WIDTH) + 0.5) / WIDTH
    centres = (masks.sum(axis=1) @ columns) / np.maximum(seen, 1)
    least = 0.006 * HEIGHT * WIDTH
    visible = (seen >= _LEAST_VISIBLE * areas) & (seen >= least)
    return frames, masks, centres, visible


def pan(rng, image, masks):
    """A still picture as a clip: a slow pan and zoom of it, or no motion.

    Args:
        rng: `np.random.Generator`.
        image: uint8 RGB array (height, width, 3).
        masks: bool array (objects, height, width).

    Returns:
        `(frames, masks)`, of the size of `image`.
    """
    height, width = image.shape[:2]
    camera = _camera(rng)
    frames, moved = [], masks
    for t in range(len(_TIME)):
        matrix = _about_middle(camera[t], height, width)
        frames.append(
            cv2.warpAffine(
                image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT
            )
        )
        if t == schema.TARGET_INDEX:
            moved = [
                cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height))
                for mask in masks
            ]
    return np.stack(frames), np.array(moved, bool).reshape(masks.shape)


def _camera(rng):
    """3 x 3 matrices over time, in units of the frame's width."""
    matrices = np.tile(np.eye(3), (len(_TIME), 1, 1))
    if rng.random() < 0.35:
        return matrices
    zoom = 1 + rng.uniform(-0.012, 0.012) * _TIME
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom
    steps = rng.uniform(-0.02, 0.02, size=2) * (1, 0.4)
    matrices[:, :2, 2] = np.outer(_TIME, steps)
    shake = rng.normal(0, rng.uniform(0, 0.003), size=(len(_TIME), 2))
    shake[schema.TARGET_INDEX] = 0
    matrices[:, :2, 2] += shake
    return matrices


def _about_middle(matrix, height, width):
    """A matrix in units of the width as one in pixels about the middle."""
    middle = np.array([width, height]) / 2
    linear = matrix[:2, :2]
    shift = matrix[:2, 2] * width + middle - linear @ middle
    return np.concatenate([linear, shift[:, None]], axis=1)


def _background(image, matrix):
    height, width = image.shape[:2]
    scale = 1.08 * max(HEIGHT / height, WIDTH / width)
    fit = np.array(
        [
            [scale, 0, (WIDTH - scale * width) / 2],
            [0, scale, (HEIGHT - scale * height) / 2],
            [0, 0, 1],
        ]
    )
    whole = _about_middle(matrix, HEIGHT, WIDTH) @ fit
    return cv2.warpAffine(
        image, whole, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
    )


def _places(rng, count):
    """Middles of the objects at the target frame, in pixels."""
    columns = (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / count
    rows = rng.uniform(0.4, 0.65, count)
    return np.stack([columns * WIDTH, rows * HEIGHT], axis=1)


def _paths(rng, cut, motion, place):
    """3 x 3 matrices from a cut-out's pixels to the frame's, over time."""
    height, width = cut.mask.shape
    longest = np.exp(rng.uniform(*np.log(_SIZES))) * HEIGHT
    scale = np.full(len(_TIME), longest / max(height, width))
    scale = np.minimum(scale, 2.2)
    x, y = np.tile(place, (len(_TIME), 1)).T.astype(float)
    angle = np.full(len(_TIME), np.radians(rng.normal(0, 4)))
    step = rng.uniform(*_SPEED) * WIDTH
    if motion in ("left", "right"):
        x += (step if motion == "right" else -step) * _TIME
        y += rng.normal(0, 0.15) * step * _TIME
    elif motion in ("up", "down"):
        y += (0.6 * step if motion == "down" else -0.6 * step) * _TIME
    elif motion == "jump":
        lift = np.abs(
            np.sin(np.pi * (_TIME / rng.uniform(4, 6) + rng.random()))
        )
        y -= rng.uniform(0.1, 0.2) * HEIGHT * (lift - lift[_TIME == 0])
    elif motion == "turn":
        angle += np.radians(rng.uniform(9, 22)) * rng.choice([-1, 1]) * _TIME
    elif motion == "near":
        scale *= np.exp(rng.uniform(0.05, 0.09) * _TIME)
    if motion != "still" and rng.random() < 0.6:
        sway = rng.uniform(0, 2 * np.pi) + 1.6 * _TIME
        y += 0.012 * HEIGHT * np.sin(sway)
        angle += np.radians(2.5) * np.sin(sway + 1)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle_x, middle_y = width / 2, height / 2
    paths = np.tile(np.eye(3), (len(_TIME), 1, 1))
    paths[:, 0, 0], paths[:, 0, 1] = cos, -sin
    paths[:, 1, 0], paths[:, 1, 1] = sin, cos
    paths[:, 0, 2] = x - cos * middle_x + sin * middle_y
    paths[:, 1, 2] = y - sin * middle_x - cos * middle_y
    return paths


def _prepared(rng, cut, background):
    """Float image and alpha of a cut-out, in colours nearer the background."""
    image, mask = cut.image, cut.mask
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    image = np.ascontiguousarray(image, np.float32)
    alpha = cv2.erode(mask.astype(np.uint8), np.ones((2, 2), np.uint8))
    alpha = cv2.GaussianBlur(
        alpha.astype(np.float32), (0, 0), rng.uniform(0.5, 1.1)
    )
    share = rng.uniform(0.0, 0.5)
    own, other = image[mask], background.reshape(-1, 3)
    ratio = np.clip(other.std() / max(own.std(), 1), 0.7, 1.4)
    shift = other.mean(axis=0) - own.mean(axis=0)
    middle = own.mean(axis=0)
    image = middle + (image - middle) * ratio**share + 0.4 * share * shift
    return np.clip(image, 0, 255).astype(np.float32), alpha


def _warped(image, alpha, path, camera, pad=0):
    pixels = np.eye(3)
    pixels[:2] = _about_middle(camera, HEIGHT, WIDTH)
    matrix = (pixels @ path)[:2]
    size = (WIDTH, HEIGHT)
    if pad:  # so that what lies outside of the frame counts too
        matrix[:, 2] += WIDTH, HEIGHT
        size = (3 * WIDTH, 3 * HEIGHT)
    scale = np.hypot(*matrix[:, 0])
    if scale < 0.6:
        blur = 0.4 / scale
        image = cv2.GaussianBlur(image, (0, 0), blur)
        alpha = cv2.GaussianBlur(alpha, (0, 0), blur)
    cover = cv2.warpAffine(alpha, matrix, size)
    if pad:
        return None, cover
    return cv2.warpAffine(
        image, matrix, size, borderMode=cv2.BORDER_REPLICATE
    ), cover


def _finished(rng, frames):
    """One light, one blur and one noise over everything, as uint8."""
    if rng.random() < 0.5:
        blur = rng.uniform(0.3, 0.9)
        frames = np.stack([cv2.GaussianBlur(f, (0, 0), blur) for f in frames])
    noise = rng.normal(0, rng.uniform(0.5, 4), frames.shape[1:])
    return np.clip(frames + noise, 0, 255).astype(np.uint8)
