"""Masks of a video's frames: images of object numbers, or run lengths."""

import dataclasses
import functools
import pathlib

import numpy as np

from keras_vas import files
from keras_vas.data.video_sets.video import Truth
from keras_vas.errors import UserError
from keras_vas.video.image_file import MAX_PIXELS, read_labels

VOID = 255
_BINARY = 127


@dataclasses.dataclass(frozen=True)
class ImageMasks:
    """A folder of images, one a frame: pixels are object numbers.

    0 is background and 255 does not count. What was painted in grey, with
    anything above 127, is one object, "1", where that is bright.

    Attributes:
        folder: `pathlib.Path`.
        painted: whether an image without a palette may be painted.
    """

    folder: pathlib.Path
    painted: bool = False

    def has(self, index, frame_name):
        """Whether the frame has masks."""
        return self._path(frame_name).is_file()

    def read(self, index, frame_name):
        """`Truth` of a frame; raises a `UserError` if it cannot be read."""
        labels, palette = read_labels(self._path(frame_name))
        if self.painted and not palette and labels.max() > _BINARY:
            return Truth({"1": labels > _BINARY})
        void = labels == VOID
        masks = {str(n): labels == n for n in np.unique(labels[~void]) if n > 0}
        return Truth(masks, void if void.any() else None)

    def _path(self, frame_name):
        return self.folder / f"{frame_name}.png"


@dataclasses.dataclass(frozen=True)
class RunLengthMasks:
    """A JSON file of run lengths: {object: [run length or null a frame]}.

    Attributes:
        path: `pathlib.Path`.
    """

    path: pathlib.Path

    def has(self, index, frame_name):
        """True: a frame without run lengths is one without objects."""
        return True

    def read(self, index, frame_name):
        """`Truth` of a frame; raises a `UserError` if it cannot be read."""
        where = f"{self.path}, frame {frame_name}"
        masks = {}
        for name, track in _read_json(self.path).items():
            if index < len(track) and track[index] is not None:
                masks[name] = decode(track[index], where)
        return Truth(masks)


@dataclasses.dataclass(frozen=True)
class CocoMasks:
    """A file in COCO's format about one video, as segment.py writes it.

    An image's `id` is the number of its frame, counted from 1. An object's id
    is `object_id` of its annotation or, without one, `category_id`; several
    annotations of an object are united. Polygons are no masks here.

    Attributes:
        path: `pathlib.Path`.
    """

    path: pathlib.Path

    def numbers(self):
        """Numbers of the frames that are among the images, sorted."""
        return sorted(_read_coco(self.path))

    def read(self, index, frame_name):
        """`Truth` of a frame; raises a `UserError` if it cannot be read."""
        masks = {}
        for name, run_lengths in _read_coco(self.path)[index + 1]:
            mask = decode(run_lengths, f"{self.path}, image {index + 1}")
            if name in masks:
                _same_size(masks[name], mask, self.path)
                mask = mask | masks[name]
            masks[name] = mask
        return Truth(masks)


def decode(run_lengths, where):
    """Decodes COCO's run lengths, packed in a str or as a list of int.

    Args:
        run_lengths: dict with "size" `[height, width]` and "counts".
        where: what a message names.

    Returns:
        Bool array `(height, width)`.

    Raises:
        UserError: it is something else, or the runs are no such mask.
    """
    # pycocotools decodes runs that are too short to what lies in memory.
    try:
        height, width = map(int, run_lengths["size"])
        counts = run_lengths["counts"]
        if isinstance(counts, str):
            counts = _unpack(counts)
        counts = np.asarray(counts, np.int64)
        if (
            min(height, width) > 0
            and height * width <= MAX_PIXELS
            and counts.ndim == 1
            and (counts >= 0).all()
            and counts.sum() == height * width
        ):
            values = np.arange(len(counts)) % 2 == 1
            return np.repeat(values, counts).reshape(width, height).T
    except (TypeError, ValueError, LookupError, OverflowError):
        pass
    raise UserError(
        f"{where}: what should be COCO's run lengths of a mask is not; get "
        "the file again"
    )


def _unpack(text):
    """Numbers of 5 bits a character, from the third on as differences."""
    counts, value, shift = [], 0, 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value = shift = 0
    return counts


@functools.lru_cache(maxsize=4)
def _read_json(path):
    content = files.read_json(path, "get the masks again")
    if isinstance(content, dict) and all(
        isinstance(track, list) for track in content.values()
    ):
        return content
    raise UserError(f"{path} holds no masks; get the file again")


@functools.lru_cache(maxsize=4)
def _read_coco(path):
    """Dict from an image's id to a list of (object id, run lengths)."""
    content = files.read_json(path, "write it as segment.py does")
    try:
        images = {int(image["id"]): [] for image in content["images"]}
        for annotation in content["annotations"]:
            name = annotation.get("object_id", annotation.get("category_id"))
            images[int(annotation["image_id"])].append(
                (str(name), annotation["segmentation"])
            )
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise UserError(
            f"{path} is no file of masks in COCO's format ({error!r}); write "
            "it as segment.py does"
        ) from error
    return images


def _same_size(one, other, path):
    if one.shape != other.shape:
        raise UserError(f"{path}: masks of one frame differ in size")
