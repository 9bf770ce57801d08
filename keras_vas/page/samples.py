"""Drawn clips to try the page with."""

import dataclasses
import itertools

from keras_vas.data.moving_actors import drawing
from keras_vas.page import stored_clip
from keras_vas.page.stored_clip import StoredClip

NUMBER = 4
_FPS = 12.0
_SEED = 7
_SIDE = 128


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
    timed = ((i / _FPS, image) for i, image in enumerate(clip.video()))
    stored_clip.write(folder, timed, _FPS, limits)
    texts = tuple(sentence.text for sentence in clip.sentences[:2])
    return Sample(StoredClip(folder, name), texts)
