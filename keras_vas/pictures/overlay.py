"""Masks drawn upon frames.

The scene is dimmed and paled where no mask is, a mask is tinted, and its
outline has its colour inside and black outside: it is read on any scene, also
without colour vision. Where masks overlap, their colours alternate in slanting
stripes, and the outlines lie inside one another.
"""

import cv2
import numpy as np

from keras_vas.files import atomic_path

# Okabe and Ito, "Color Universal Design", 2008, without black; the blues and
# the purple are lightened, since the scene behind is dark.
_SAFE_COLOURS = (
    (230, 159, 0), (86, 180, 233), (240, 228, 66), (0, 190, 140),
    (225, 130, 185), (240, 100, 30), (90, 130, 255),
)  # fmt: skip
TRUTH, PREDICTION = _SAFE_COLOURS[1], _SAFE_COLOURS[0]
_SHORT_VIDEO = 640
_TINT = 0.35
_DIM, _PALE = 0.5, 0.5
_STRIPE = 8
_NEAR = 60  # of colours, in CIELAB's 8-bit numbers


def palette_for(image, number):
    """Colours that are safe for the colour-blind, those rare in a scene first.

    Args:
        image: `(height, width, 3)` uint8 RGB, a frame of the scene.
        number: how many.

    Returns:
        List of RGB tuples, 0..255; from the eighth on they repeat.
    """
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    scene = _lab(small).reshape(-1, 1, 3)
    colours = _lab(np.array([_SAFE_COLOURS], np.uint8))
    near = np.linalg.norm(scene - colours, axis=-1) < _NEAR
    order = np.argsort(near.mean(0), kind="stable")
    return [_SAFE_COLOURS[order[i % len(order)]] for i in range(number)]


def _lab(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)


def draw(image, masks, palette, size=None):
    """Draws several masks upon a frame.

    Args:
        image: uint8 RGB `(height, width, 3)`.
        masks: `(queries, height, width)`, nonzero is the actor.
        palette: an RGB tuple for each.
        size: `(height, width)` in pixels to which frame and masks are
            scaled before; by default they keep their size.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: frame and masks differ in size.
    """
    masks = [np.asarray(np.asarray(x) != 0, np.uint8) for x in masks]
    if any(mask.shape != image.shape[:2] for mask in masks):
        raise ValueError(
            "frame and mask must have one size. Received: "
            f"frame.shape={image.shape}, "
            f"mask.shape={[mask.shape for mask in masks]}"
        )
    if size not in (None, image.shape[:2]):
        smaller = size[1] < image.shape[1]
        way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        image = cv2.resize(image, size[::-1], interpolation=way)
        masks = [
            cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
            for mask in masks
        ]
    scale = image.shape[1] / _SHORT_VIDEO
    drawn = _dimmed(image) if masks else image.copy()
    for part, colour in zip(
        _striped(masks, max(4, round(_STRIPE * scale))), palette, strict=True
    ):
        left, top, wide, high = cv2.boundingRect(part)
        box = np.s_[top : top + high, left : left + wide]
        plain = np.full_like(image[box], colour)
        tinted = cv2.addWeighted(image[box], 1 - _TINT, plain, _TINT, 0)
        cv2.copyTo(tinted, part[box], drawn[box])
    line = max(1, round(2 * scale))
    for mask, colour in zip(_nested(masks, 2 * line), palette, strict=True):
        outlines, _ = cv2.findContours(
            mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        for thickness, ink in ((2 * line + 1, (0, 0, 0)), (line, colour)):
            cv2.drawContours(drawn, outlines, -1, ink, thickness, cv2.LINE_AA)
    return drawn


def _dimmed(image):
    grey = cv2.cvtColor(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
    )
    return cv2.addWeighted(image, _DIM * (1 - _PALE), grey, _DIM * _PALE, 0)


def _striped(masks, stripe):
    """The masks, of which each keeps its own stripes where they overlap."""
    ranks = np.cumsum(masks, 0, dtype=np.uint8)
    if len(masks) < 2 or ranks[-1].max() < 2:
        return masks
    height, width = ranks.shape[1:]
    rows, columns = (np.arange(n, dtype=np.uint16) for n in (height, width))
    slant = np.add.outer(rows, columns) // stripe
    turn = 1 + slant % np.maximum(ranks[-1], 1)
    return [
        mask & (rank == turn) for mask, rank in zip(masks, ranks, strict=True)
    ]


def _nested(masks, step):
    """The masks, each eroded once for every earlier one that it overlaps."""
    for i, mask in enumerate(masks):
        inside = sum(bool((mask & other).any()) for other in masks[:i])
        if inside:
            size = 2 * step * inside + 1
            mask = cv2.erode(mask, np.ones((size, size), np.uint8))
        yield mask


def write_png(path, image):
    """Writes an RGB image as PNG, whole or not at all.

    Args:
        path: final path, ending in .png.
        image: `(height, width, 3)` uint8 RGB.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
