"""Sentences drawn into pictures, whatever their length and script."""

import functools
import unicodedata

import cv2
import numpy as np

PAPER = (255, 255, 255)
INK = (30, 30, 30)
MARGIN = 4
_SIZE = 16
_WEIGHT = 500


def caption(
    text,
    width,
    *,
    size=_SIZE,
    lines=2,
    colour=INK,
    background=PAPER,
    fixed_height=False,
):
    """Draws a text as a strip of the given width.

    Long texts are wrapped, words that are wider than the strip are broken,
    and what does not fit into `lines` ends in an ellipsis. OpenCV's built-in
    font holds Latin, Greek, Cyrillic, Arabic, Chinese, Japanese and Korean;
    a character that it does not hold is drawn as a question mark.

    Args:
        text: any string; control characters count as spaces.
        width: width of the strip in pixels.
        size: height of the letters in pixels.
        lines: the most lines that are drawn.
        colour: RGB of the letters.
        background: RGB of the strip.
        fixed_height: whether short texts leave the other lines empty.

    Returns:
        `(height, width, 3)` uint8; the height follows from the lines drawn,
        at least one, or from `lines` where `fixed_height` is set.
    """
    wrapped = _wrap(_printable(text), width - 2 * MARGIN, size, lines)
    pitch = int(np.ceil(size * 1.4))
    height = pitch * (lines if fixed_height else len(wrapped)) + MARGIN
    strip = np.full((height, width, 3), background, np.uint8)
    for row, line in enumerate(wrapped):
        origin = (MARGIN, pitch * row + size + MARGIN // 2)
        cv2.putText(strip, line, origin, colour, _font(), size, _WEIGHT)
    return strip


def _printable(text):
    kept = (
        " " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c
        for c in text
    )
    return " ".join("".join(kept).split())


def _wrap(text, width, size, lines):
    wrapped = [""]
    for word in text.split(" "):
        longer = f"{wrapped[-1]} {word}".strip()
        if _text_width(longer, size) <= width:
            wrapped[-1] = longer
            continue
        if wrapped[-1]:
            wrapped.append("")
        for letter in word:
            if _text_width(wrapped[-1] + letter, size) > width:
                wrapped.append("")
            wrapped[-1] += letter
            if len(wrapped) > lines:
                break
        if len(wrapped) > lines:
            break
    if len(wrapped) > lines:
        last = wrapped[lines - 1]
        while last and _text_width(f"{last}…", size) > width:
            last = last[:-1]
        wrapped = [*wrapped[: lines - 1], f"{last.rstrip()}…"]
    return wrapped


@functools.cache
def _font():
    return cv2.FontFace("uni")


def _text_width(text, size):
    if not text:
        return 0
    box = cv2.getTextSize(
        (1 << 16, 1 << 10), text, (0, 0), _font(), size, _WEIGHT
    )
    return box[0] + box[2]
