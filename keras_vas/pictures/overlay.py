"""Masks drawn upon frames."""

import colorsys

import cv2
import numpy as np

from keras_vas.files import atomic_path

_SHORT_VIDEO = 640
TRUTH = (60, 200, 90)


PREDICTION = (240, 90, 50)


def overlay(frame, mask, colour=PREDICTION, alpha=0.45, contour=2):
    """Tints a frame where the mask is set, and draws the mask's outline.

    Args:
        frame: `(height, width, 3)` uint8 RGB.
        mask: `(height, width)`, nonzero is the actor.
        colour: RGB, 0..255.
        alpha: opacity of the tint, 0..1.
        contour: thickness of the outline in pixels, 0 for none.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        ValueError: frame and mask differ in size.
    """
    mask = np.ascontiguousarray(np.asarray(mask) != 0, np.uint8)
    if frame.shape[:2] != mask.shape:
        raise ValueError(
            "frame and mask must have one size. Received: "
            f"frame.shape={frame.shape}, mask.shape={mask.shape}"
        )
    tinted = frame.astype(np.float32)
    tinted[mask > 0] = (1 - alpha) * tinted[mask > 0] + alpha * np.array(
        colour, np.float32
    )
    tinted = np.round(tinted).astype(np.uint8)
    if contour:
        outlines, _ = cv2.findContours(
            mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(tinted, outlines, -1, colour, contour, cv2.LINE_AA)
    return tinted


def write_png(path, image):
    """Writes an RGB image as PNG, whole or not at all.

    Args:
        path: final path, ending in .png.
        image: `(height, width, 3)` uint8 RGB.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


_GOLDEN = 0.61803398875


def colours(number):
    """Colours that are easy to tell apart.

    Args:
        number: how many.

    Returns:
        List of RGB tuples, 0..255; the first ones do not depend on `number`.
    """
    hues = ((0.03 + i * _GOLDEN) % 1 for i in range(number))
    return [
        tuple(round(255 * x) for x in colorsys.hsv_to_rgb(hue, 0.6, 1))
        for hue in hues
    ]


def draw(image, masks, palette, width=None):
    """Tints a frame with several masks.

    Args:
        image: uint8 RGB `(height, width, 3)`.
        masks: bool `(queries, height, width)`.
        palette: an RGB tuple for each.
        width: to which frame and masks are scaled before, in pixels; by
            default they keep their size.

    Returns:
        uint8 `(height, width, 3)`.
    """
    if width not in (None, image.shape[1]):
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
        image = cv2.resize(image, size, interpolation=way)
        masks = [
            cv2.resize(
                x.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
            )
            > 0
            for x in masks
        ]
    contour = max(1, round(image.shape[1] / _SHORT_VIDEO * 2))
    for mask, colour in zip(masks, palette, strict=True):
        if mask.any():
            image = overlay(image, mask, colour, contour=contour)
    return image
