"""Pictures of masks of several sentences, each in its colour."""

import cv2
import numpy as np

from keras_vas.pictures.captions import INK, PAPER, caption

_CAPTIONS = 6
_SHORT_VIDEO = 640
_LETTERS = 16
_SHEET_FRAMES = 12
_SHEET_COLUMNS = 4
_THUMBNAIL = 240


def legend(queries, palette, width):
    """A strip with each sentence in its colour; of many, the first ones.

    Args:
        queries: list of str.
        palette: an RGB tuple for each.
        width: of the strip in pixels.

    Returns:
        uint8 `(height, width, 3)`.
    """
    size = max(_LETTERS, round(_LETTERS * width / _SHORT_VIDEO))
    strips = [
        caption(text, width, size=size, colour=colour, background=INK)
        for text, colour in list(zip(queries, palette, strict=True))[:_CAPTIONS]
    ]
    if len(queries) > _CAPTIONS:
        more = f"and {len(queries) - _CAPTIONS:,} more"
        strips.append(
            caption(more, width, size=size, colour=PAPER, background=INK)
        )
    return np.concatenate(strips)


class ContactSheet:
    """Keeps up to 12 evenly spaced frames of a stream of unknown length.

    Args:
        queries: list of str.
        palette: an RGB tuple for each.
    """

    def __init__(self, queries, palette):
        self._queries, self._palette = queries, palette
        self._kept = []
        self._seen, self._stride = 0, 1

    def add(self, image, text):
        """Offers one drawn frame, uint8 `(height, width, 3)`, and its text."""
        if self._seen % self._stride == 0:
            scale = _THUMBNAIL / image.shape[1]
            height = max(1, round(image.shape[0] * scale))
            small = cv2.resize(
                image,
                (_THUMBNAIL, min(height, 4 * _THUMBNAIL)),
                interpolation=cv2.INTER_AREA,
            )
            self._kept.append(
                np.concatenate([small, caption(text, _THUMBNAIL, lines=1)])
            )
            if len(self._kept) == 2 * _SHEET_FRAMES:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def image(self):
        """The sheet, uint8 `(height, width, 3)`."""
        number = min(len(self._kept), _SHEET_FRAMES)
        chosen = np.linspace(0, len(self._kept) - 1, number).round().astype(int)
        shown = [self._kept[i] for i in chosen]
        columns = min(_SHEET_COLUMNS, number)
        blank = np.full_like(shown[0], 255)
        shown += [blank] * (-number % columns)
        rows = [
            np.concatenate(shown[i : i + columns], axis=1)
            for i in range(0, len(shown), columns)
        ]
        sheet = np.concatenate(rows)
        strip = legend(self._queries, self._palette, sheet.shape[1])
        return np.concatenate([sheet, strip])
