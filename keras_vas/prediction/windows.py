"""From a stream of frames to the clips that the network sees.

Only the frames that clips in the making need are kept: eight before the
target's and six after, at the network's size.
"""

import collections
import dataclasses
import math

import numpy as np

from keras_vas.data.records.schema import CLIP_OFFSETS, clip_frame_numbers
from keras_vas.errors import UserError

_BEFORE, _AFTER = -CLIP_OFFSETS[0], CLIP_OFFSETS[-1]


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """A target frame and the clip around it.

    Attributes:
        frame: `video.Frame`, the target.
        clip: uint8 `(time, height, width, 3)`, what `shrink` made of the
            clip's frames.
    """

    frame: object
    clip: np.ndarray


def windows(video, shrink, *, every=1, times=None, numbers=None):
    """Yields the windows of a video's target frames, in order.

    Args:
        video: `video.Video`.
        shrink: callable of uint8 `(height, width, 3)`, called once a frame.
        every: int; the targets are frames 1, 1 + every, and so on.
        times: seconds of the targets instead, in any order: each time
            stands for the frame that is shown then.
        numbers: numbers of the targets instead, counted from 1; the frames
            that no clip of theirs needs may be missing from the video.

    Raises:
        UserError: the video ends before one of the times.
    """
    if numbers is not None:
        frames = _numbered(video, frozenset(numbers))
    elif times is not None:
        frames = _shown_at(video, sorted(times))
    else:
        frames = ((x, (x.number - 1) % every == 0) for x in video)
    small = {}
    waiting = collections.deque()

    def window(newest):
        frame = waiting.popleft()
        numbers = clip_frame_numbers(frame.number, newest)
        return Window(frame, np.stack([small[n] for n in numbers]))

    newest = 0
    for frame, wanted in frames:
        newest = frame.number
        small[newest] = shrink(frame.image)
        if wanted:
            waiting.append(frame)
        while waiting and waiting[0].number + _AFTER <= newest:
            yield window(newest)
        oldest = waiting[0].number if waiting else newest + 1
        for number in [n for n in small if n < oldest - _BEFORE]:
            del small[number]
    while waiting:
        yield window(newest)


def _numbered(video, numbers):
    """Yields `(frame, wanted)` up to what the last number's clip needs."""
    last = max(numbers, default=0)
    for frame in video:
        if frame.number > last + _AFTER:
            return
        yield frame, frame.number in numbers


def _shown_at(video, times):
    """Yields `(frame, wanted)` up to what the last time's clip needs."""
    times = collections.deque(times)
    if times and times[0] < 0:
        raise UserError(f"a time before the video, {times[0]:g} s; give 0 up")

    def is_wanted(until):
        wanted = bool(times) and times[0] < until
        while times and times[0] < until:
            times.popleft()
        return wanted

    before = None
    left = math.inf
    for frame in video:
        if before is not None:
            wanted = is_wanted(frame.time_seconds)
            yield before, wanted
            if not times:
                left = _AFTER if wanted else left - 1
                if left <= 0:
                    return
        before = frame
    yield before, is_wanted(before.time_seconds + 1.5 / video.fps)
    if times:
        raise UserError(
            f"there is nothing at {times[0]:g} s: {video.name} ends at "
            f"{before.time_seconds:.2f} s; give earlier times"
        )
