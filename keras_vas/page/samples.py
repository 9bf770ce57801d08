"""Drawn clips to try the page with."""

import dataclasses
import itertools

import numpy as np

from keras_vas.data.moving_actors import drawing
from keras_vas.data.records import schema
from keras_vas.page import stored_clip
from keras_vas.page.stored_clip import StoredClip

NUMBER = 4
_FPS = 12.0
_SEED = 7
_SIDE = 128
_SHOWN_TIMES = schema.CLIP_OFFSETS[1] - schema.CLIP_OFFSETS[0]


@dataclasses.dataclass(frozen=True)
class Sample:
    """A clip and sentences about it.

    Attributes:
        clip: `StoredClip`, shared by all visitors.
        sentences: tuple of str.
    """

    clip: StoredClip
    sentences: tuple


def draw(folder, limits):
    """Draws the samples.

    Every drawn frame is shown twice: that is the pace at which models that
    were trained on such clips see them.

    Args:
        folder: `pathlib.Path` for their frames.
        limits: `Limits`.

    Returns:
        List of `NUMBER` `Sample`s.
    """
    drawn = (
        drawing.draw_clip(_SEED, "test", i, height=_SIDE, width=_SIDE)
        for i in itertools.count()
    )
    # of some clips, the test split holds one sentence only
    talked_about = (clip for clip in drawn if len(clip.sentences) > 1)
    return [
        _sample(clip, folder / f"sample-{i}", f"sample {i}", limits)
        for i, clip in enumerate(itertools.islice(talked_about, NUMBER), 1)
    ]


def _sample(clip, folder, name, limits):
    frames = np.repeat(clip.frames, _SHOWN_TIMES, axis=0)
    timed = ((i / _FPS, image) for i, image in enumerate(frames))
    stored_clip.write(folder, timed, _FPS, limits)
    texts = tuple(sentence.text for sentence in clip.sentences[:2])
    return Sample(StoredClip(folder, name), texts)
