"""A video as numbered JPEG pictures in a folder: cheap to look at anywhere.

    FOLDER/00001.jpg ...   the frames, quality 95
    FOLDER/clip.json       {"fps", "times", "size", "source_size", "cut"}

`size` and `source_size` are `[height, width]`; `cut` says what ended the
reading: "" (the video did), "seconds", "frames" or "megabytes".
"""

import json
import pathlib

import cv2
import numpy as np

from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.video.reader import Video

_JPEG_QUALITY = 95
_INDEX = "clip.json"


def write(folder, frames, fps, limits):
    """Writes frames to a folder until they or the limits end.

    Args:
        folder: missing or empty folder.
        frames: iterable of `(seconds, uint8 RGB (height, width, 3))`.
        fps: nominal frames per second.
        limits: `Limits`.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    times, cut, stored = [], "", 0
    for seconds, image in frames:
        cut = _reached(limits, len(times), seconds, stored)
        if cut:
            break
        source_size = image.shape[:2]
        image = _shrunk(image, limits.side)
        size = image.shape[:2]
        data = schema.encode_jpeg(image, _JPEG_QUALITY)
        (folder / f"{len(times) + 1:05d}.jpg").write_bytes(data)
        stored += len(data)
        times.append(seconds)
    index = {
        "fps": fps,
        "times": times,
        "size": size,
        "source_size": source_size,
        "cut": cut,
    }
    (folder / _INDEX).write_text(json.dumps(index))


def _reached(limits, frames, seconds, stored):
    if seconds >= limits.seconds:
        return "seconds"
    if frames >= limits.frames:
        return "frames"
    if stored > limits.stored_megabytes * 2**20:
        return "megabytes"
    return ""


def _shrunk(image, side):
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class StoredClip:
    """A video that `write` has written.

    Args:
        folder: its folder.
        name: what it is called on the page.

    Attributes:
        folder: `pathlib.Path`.
        name: as given.
        fps: nominal frames per second.
        times: list of seconds since the first frame.
        size: `(height, width)` of the frames in pixels.
        source_size: likewise, before they were scaled down.
        cut: what ended the reading, see above.
    """

    def __init__(self, folder, name):
        self.folder, self.name = pathlib.Path(folder), name
        index = json.loads((self.folder / _INDEX).read_text())
        self.fps, self.times = index["fps"], index["times"]
        self.size = tuple(index["size"])
        self.source_size = tuple(index["source_size"])
        self.cut = index["cut"]

    def __len__(self):
        """Number of frames."""
        return len(self.times)

    def image(self, number):
        """Frame `number`, counted from 1, uint8 RGB `(height, width, 3)`.

        Raises:
            UserError: there is no such frame, or the clip was removed.
        """
        if number not in range(1, len(self) + 1):
            raise UserError(f"There are frames 1 to {len(self)}.")
        try:
            data = (self.folder / f"{number:05d}.jpg").read_bytes()
        except FileNotFoundError as error:
            raise UserError(
                "This video is no longer here; choose one again."
            ) from error
        return schema.decode_jpeg(data)

    def video(self):
        """The clip as `video.Video`, with its own time stamps."""

        def read():
            for number, seconds in enumerate(self.times, 1):
                yield seconds, self.image(number)

        return Video(self.name, self.fps, len(self), None, True, read)

    def around(self, number):
        """The frames that a clip around frame `number` is made of.

        Returns:
            uint8 `(time, height, width, 3)` and the number, counted from 1,
            that frame `number` has among them.
        """
        first = max(1, number + schema.CLIP_OFFSETS[0])
        last = min(len(self), number + schema.CLIP_OFFSETS[-1])
        frames = [self.image(n) for n in range(first, last + 1)]
        return np.stack(frames), number - first + 1
