"""Frames from wherever they are: video file, folder, camera, array.

Every source is read from its beginning, one frame at a time, as uint8 RGB
with a number (from 1) and a time stamp. Nothing but the frame at hand is
kept.
"""

import dataclasses
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from keras_vas.errors import UserError
from keras_vas.video.capture import open_capture, silence
from keras_vas.video.image_file import MAX_PIXELS, read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
ARRAY_FPS = 25.0
MIN_FPS, MAX_FPS = 0.1, 60.0
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff")
LONGEST_PAUSE_SECONDS = 600
_MOST_DIGITS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        number: counted from 1.
        time_seconds: since the first frame.
        image: uint8 RGB `(height, width, 3)`.
    """

    number: int
    time_seconds: float
    image: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """A source of frames; iterate over it to read them.

    Attributes:
        name: what messages call it.
        fps: nominal frames per second, above 0.
        expected_frames: how many frames the source says that it has, which
            a damaged file may not hold; `None` if it does not say.
        path: `pathlib.Path` of the file or folder, else `None`.
        again: whether it can be read more than once.
    """

    name: str
    fps: float
    expected_frames: int | None
    path: pathlib.Path | None
    again: bool
    _read: Callable

    def __iter__(self) -> Iterator[Frame]:
        """Yields `Frame`s.

        Raises:
            UserError: there is no frame, or one differs in size.
        """
        first = None
        for number, (seconds, image) in enumerate(self._read(), 1):
            image = _rgb(image)
            first = image if first is None else first
            if image.shape != first.shape:
                raise UserError(
                    f"{self.name}: frame {number} has {_size(image)} pixels "
                    f"and the first has {_size(first)}; bring all frames to "
                    "one size"
                )
            yield Frame(number, seconds, image)
        if first is None:
            raise UserError(
                f"{self.name} holds no frame that can be read; give a video "
                "with pictures"
            )


Source = str | os.PathLike | int | np.ndarray | Sequence[np.ndarray] | Video


def open_video(source: Source, *, allow_playlists: bool = False) -> Video:
    """Opens whatever holds frames.

    Args:
        source: path of a video file that OpenCV's FFmpeg reads (mp4, GIF,
            ...); path of a folder of images, taken in the order of the
            numbers in their names; number of a camera, int or a string of
            digits; or frames as an array `(time, height, width[, channels])`
            or a list of such arrays without time, uint8 with 1 (grey),
            3 (RGB) or 4 (RGBA; alpha is dropped) channels. Arrays and
            folders count as 25 frames per second. A `Video` is given back.
        allow_playlists: whether a video file may be a list of other files or
            addresses, such as m3u8, whose pictures are then read.

    Returns:
        `Video`.

    Raises:
        UserError: there is no such file, nothing in it can be read, or the
            array is of another kind.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray | list | tuple):
        return _array(source)
    if isinstance(source, int) or re.fullmatch(r"\d+", str(source)):
        return _camera(source)
    path = pathlib.Path(source)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UserError(f"there is no video {path}; name a file or a folder")
    if path.suffix.lower() in _PICTURE_SUFFIXES:
        return of_pictures(path, [path])
    return _file(path, allow_playlists)


def _array(frames):
    try:
        frames = np.asarray(frames)
    except ValueError as error:
        raise UserError(
            "the frames differ in size; bring them all to one size"
        ) from error
    shape = frames.shape
    right = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    if not right or not all(shape) or frames.dtype != np.uint8:
        raise UserError(
            "frames must be uint8 of shape (time, height, width, 3), not "
            f"{frames.dtype} of shape {shape}"
        )
    return Video(
        name="the array",
        fps=ARRAY_FPS,
        expected_frames=len(frames),
        path=None,
        again=True,
        _read=lambda: ((i / ARRAY_FPS, x) for i, x in enumerate(frames)),
    )


def image_files(folder):
    """The images of a folder, in the order of the numbers in their names.

    Args:
        folder: `pathlib.Path`.

    Returns:
        List of `pathlib.Path`.
    """
    return sorted(
        (x for x in folder.iterdir() if x.suffix.lower() in IMAGE_SUFFIXES),
        key=_by_number,
    )


def _folder(path):
    files = image_files(path)
    if not files:
        raise UserError(
            f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)}); name a "
            "folder of frames"
        )

    return of_pictures(path, files)


def of_pictures(path, files):
    """A `Video` of image files.

    Args:
        path: `pathlib.Path` that messages name.
        files: list of `pathlib.Path` in the order of time.
    """

    def read():
        for i, file in enumerate(files):
            yield i / ARRAY_FPS, read_image(file)

    return Video(str(path), ARRAY_FPS, len(files), path, True, read)


def _by_number(path):
    """Sort key: 2.png stands before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(x), x) if x.isdigit() else (-1, x) for x in parts], path.name


def _file(path, allow_playlists):
    capture = _capture(path, allow_playlists)
    fps = _plausible_fps(capture.get(cv2.CAP_PROP_FPS))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()

    def read():
        last = -1.0
        start = None
        for image, stamp in _captured(_capture(path, allow_playlists)):
            start = stamp if start is None else start
            seconds = stamp - start
            # no time stamps, or broken ones
            if not last < seconds <= last + LONGEST_PAUSE_SECONDS:
                seconds = last + 1 / fps
            last = seconds
            yield seconds, image

    return Video(str(path), fps, count if count > 0 else None, path, True, read)


def _capture(path, allow_playlists):
    capture = open_capture(path, allow_playlists=allow_playlists)
    if not capture.isOpened():
        raise UserError(
            f"{path} holds no video that can be read; give a file with "
            "pictures, such as an mp4"
        )
    width = capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    height = capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{path} has frames of {width:.0f} x {height:.0f} pixels, more "
            f"than {MAX_PIXELS:,}; make them smaller"
        )
    return capture


def _captured(capture):
    try:
        while True:
            there, image = capture.read()
            if not there:
                return
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield image, stamp
    finally:
        capture.release()


def _camera(number):
    # OpenCV takes more digits for an error, not for a camera.
    capture = cv2.VideoCapture()
    if len(str(number)) < _MOST_DIGITS:
        with silence():
            capture.open(int(number))
    if not capture.isOpened():
        raise UserError(f"there is no camera {number}; give another number")
    fps = _plausible_fps(capture.get(cv2.CAP_PROP_FPS))

    def read():
        start = time.monotonic()
        for image, _ in _captured(capture):
            yield time.monotonic() - start, image

    return Video(f"camera {number}", fps, None, None, False, read)


def _plausible_fps(fps):
    return min(max(fps, MIN_FPS), MAX_FPS) if fps > 0 else ARRAY_FPS


def _rgb(image):
    """Grey or RGBA to contiguous RGB."""
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    return np.ascontiguousarray(image[..., :3])


def _size(image):
    return f"{image.shape[1]} x {image.shape[0]}"
