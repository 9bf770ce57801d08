"""Parts of a long video, each read by itself.

A file is passed through once for the time stamps of its frames; a part then
begins where OpenCV lands by its time, which the stamps prove, or is counted
from the file's beginning where it does not.
"""

import dataclasses
import itertools

import cv2

from keras_vas.errors import UserError
from keras_vas.video.capture import open_capture
from keras_vas.video.image_file import read_image
from keras_vas.video.reader import (
    ARRAY_FPS,
    LONGEST_PAUSE_SECONDS,
    Video,
    image_files,
    open_video,
)

READABLE = 0.9  # the least share of its frames that a sound video yields
_RUN_UP_MS = 1000
_SAME_MS = 0.01


@dataclasses.dataclass(frozen=True)
class Part:
    """Some frames of a video and those around them.

    Attributes:
        start: number of its first frame, counted from 1.
        stop: number of the frame behind its last one; 0 for all frames.
        first: number of the first frame that is read.
        times: seconds of the frames that are read, since the video's first.
        stamp: of the first frame that is read, milliseconds in the file;
            `None` in a folder of images.
    """

    start: int = 1
    stop: int = 0
    first: int = 1
    times: tuple[float, ...] = ()
    stamp: float | None = None


WHOLE = Part()


def split(path, length, before, after):
    """Splits a video.

    Args:
        path: `pathlib.Path` of a video file or a folder of images.
        length: most frames of a part.
        before: frames before a part that are read with it.
        after: likewise behind it.

    Returns:
        List of `Part`; `WHOLE` alone if the video is no longer than that, or
        has no time stamps to find a part by.

    Raises:
        UserError: the video cannot be read, or not for the most part.
    """
    video = open_video(path)
    expected = video.expected_frames
    if expected and expected <= length:
        return [WHOLE]
    if path.is_dir():
        stamps = range(expected)
        seconds = [i / ARRAY_FPS for i in stamps]
    else:
        stamps = list(_stamps(path))
        check_readable(video, len(stamps))
        seconds = [x / 1000 - stamps[0] / 1000 for x in stamps]
        steps = [b - a for a, b in itertools.pairwise(seconds)]
        broken = any(not 0 < x <= LONGEST_PAUSE_SECONDS for x in steps)
        if broken or len(stamps) <= length:
            return [WHOLE]
    parts = []
    for start in range(0, len(stamps), length):
        stop = min(start + length, len(stamps))
        first, last = max(0, start - before), min(stop + after, len(stamps))
        parts.append(
            Part(
                start + 1,
                stop + 1,
                first + 1,
                tuple(seconds[first:last]),
                None if path.is_dir() else stamps[first],
            )
        )
    return parts


def open_part(path, part):
    """Opens a part.

    Args:
        path: as given to `split`.
        part: one of what that returned.

    Returns:
        `Video`, whose frame 1 is the video's frame `part.first`.

    Raises:
        UserError: the video cannot be read, or is another one by now.
    """
    if part == WHOLE:
        return open_video(path)

    def pictures():
        start = part.first - 1
        files = image_files(path)[start : start + len(part.times)]
        return zip(part.times, map(read_image, files), strict=True)

    def frames():
        capture = _at(path, part.stamp)
        try:
            for number, seconds in enumerate(part.times, part.first):
                there = number == part.first or capture.grab()
                there, image = capture.retrieve() if there else (False, None)
                if not there:
                    raise UserError(
                        f"frame {number} of {path} cannot be read any more; "
                        "leave the video as it is while it is read"
                    )
                yield seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()

    return Video(
        name=str(path),
        fps=open_video(path).fps,
        expected_frames=len(part.times),
        path=path,
        again=True,
        _read=pictures if path.is_dir() else frames,
    )


def check_readable(video, frames):
    """Raises a `UserError` if far fewer frames were read than there are."""
    expected = video.expected_frames
    if expected and frames < READABLE * expected:
        raise UserError(
            f"{video.name} says that it has {expected:,} frames, and only "
            f"{frames:,} can be read; get the file again"
        )


def _stamps(path):
    capture = open_capture(path)
    try:
        while capture.grab():
            yield capture.get(cv2.CAP_PROP_POS_MSEC)
    finally:
        capture.release()


def _at(path, stamp):
    """A capture that holds the frame with a stamp."""
    for jump in (stamp > _RUN_UP_MS, False):
        capture = open_capture(path)
        if jump:
            capture.set(cv2.CAP_PROP_POS_MSEC, stamp - _RUN_UP_MS)
        there = -1.0
        while capture.grab():
            there = capture.get(cv2.CAP_PROP_POS_MSEC)
            if there >= stamp - _SAME_MS:
                break
        if abs(there - stamp) < _SAME_MS:
            return capture
        capture.release()
    raise UserError(
        f"{path} has no frame at {stamp / 1000:.3f} s any more; leave the "
        "video as it is while it is read"
    )
