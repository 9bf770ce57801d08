"""Reading a picture that somebody else has made."""

import contextlib
import io
import warnings

import cv2
import numpy as np
from PIL import Image

from keras_vas.errors import UserError

MAX_PIXELS = 2**25  # a frame of 8K video has 33,177,600
_MOST_BYTES = 2**28
_PNG = b"\x89PNG\r\n\x1a\n"


def read_image(path):
    """Reads an image file; its header is read before anything is decoded.

    Args:
        path: `pathlib.Path`.

    Returns:
        uint8 RGB array `(height, width, 3)`.

    Raises:
        UserError: it is no regular file, no image, or one of more than
            `MAX_PIXELS` pixels.
    """
    data = _bytes(path)
    with _readable(path):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_labels(path):
    """Reads an image whose pixels are numbers: grey, or indices of a palette.

    Args:
        path: `pathlib.Path`.

    Returns:
        (uint8 array `(height, width)`, whether the image has a palette). Of
        an image in colours that are all grey, as painting programs write
        them, this is the grey; what is transparent is 0.

    Raises:
        UserError: as of `read_image`; or it has colours, or 16 bits.
    """
    data = _bytes(path)
    with _readable(path):
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
            if mode not in ("1", "L", "P"):
                image = image.convert("RGBA" if "A" in mode else "RGB")
            pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels.astype(np.uint8), mode == "P"
    shown = pixels[..., 3:].all(axis=-1) if pixels.shape[-1] == 4 else True
    colours = np.where(np.asarray(shown)[..., None], pixels[..., :3], 0)
    if mode.startswith("I") or np.any(colours != colours[..., :1]):
        raise UserError(
            f"{path} has colours or 16 bits; save it as a picture with a "
            "palette, or in grey, of 8 bits"
        )
    return colours[..., 0], False


@contextlib.contextmanager
def _readable(path):
    try:
        yield
    except Exception as error:
        # Pillow raises errors of a dozen types on damaged files.
        raise UserError(f"{path} is no image that can be read") from error


def _bytes(path):
    """The bytes of an image file whose header promises no more than allowed."""
    if not path.is_file():
        raise UserError(f"there is no image file {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"{path} has more than {_MOST_BYTES:,} bytes")
    data = path.read_bytes()
    with _readable(path):
        _check_chunks(data)
        pixels = _declared_pixels(data)
    if pixels > MAX_PIXELS:
        raise UserError(
            f"{path} has more than {MAX_PIXELS:,} pixels; make it smaller"
        )
    return data


def _check_chunks(data):
    """A ValueError if a PNG's chunk is longer than the file: OpenCV takes
    memory for all of it.
    """
    at = len(_PNG) if data.startswith(_PNG) else len(data)
    while at < len(data):
        at += 12 + int.from_bytes(data[at : at + 4])
    if at > len(data):
        raise ValueError("it is cut off")


def _declared_pixels(data):
    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(io.BytesIO(data)) as image:
                return image.width * image.height
        except Image.DecompressionBombError:
            return MAX_PIXELS + 1
