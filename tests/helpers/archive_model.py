"""A predictor without a network, and an archive's driver that uses it.

    python archive_model.py ADDRESS VIDEOS MODEL OUTPUT

MODEL is what `make` made: `calls` gets the name of the video of each span that
is begun; a file `die-NAME` kills the worker that begins that video, and is
removed, `kill-NAME` stays; while `hold` is there, videos called slow... wait.
"""

import os
import pathlib
import signal
import sys
import time

import numpy as np

from keras_vas.archive import engine, sources
from keras_vas.archive.folder import Folder
from keras_vas.archive.settings import Choice, Settings, fingerprint
from keras_vas.prediction.options import Source
from keras_vas.prediction.result import FrameResult
from keras_vas.prediction.windows import windows

SENTENCES = ("the bright half", "the dark half")


class Brightness:
    """Finds what is bright; the score is the mean of the whole clip."""

    model = vocabulary = None

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)

    def stream(self, video, sentences, compute_every=1, **which):
        name = pathlib.Path(video.name).name
        with open(self._folder / "calls", "a") as file:
            file.write(f"{name}\n")
        for sign in ("die", "kill"):
            if (self._folder / f"{sign}-{name}").exists():
                if sign == "die":
                    (self._folder / f"{sign}-{name}").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        for window in windows(video, lambda image: image[::8, ::8], **which):
            while name.startswith("slow") and (self._folder / "hold").exists():
                time.sleep(0.02)
            bright = window.frame.image[..., 0] / np.float32(255)
            score = window.clip.mean() / 255
            yield FrameResult(
                window.frame.number,
                window.frame.time_seconds,
                window.frame.image,
                np.stack([bright, 1 - bright][: len(sentences)]),
                np.float32([score, 1 - score][: len(sentences)]),
            )


def load(settings):
    """What a worker loads."""
    return Brightness(pathlib.Path(settings.source.model).parent)


def make(folder):
    """The folder of a model; what changes in it is no part of the model."""
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "file").write_text("bright")
    return folder


def calls(folder):
    """Names of the videos whose spans were begun, in that order."""
    path = folder / "calls"
    return path.read_text().split() if path.exists() else []


def settings(folder, **choice):
    """`Settings` of the model in a folder."""
    model = str(folder / "weights")
    return Settings(
        source=Source(model),
        sentences=SENTENCES,
        choice=Choice(**{"threshold": 0.5, **choice}),
        fingerprint=fingerprint(model, Brightness(model)),
    )


def process(videos, model, output, **choice):
    """Yields what `engine.process` yields, and ends the folder."""
    told = settings(model, **choice)
    found, _ = sources.list_videos(videos)
    folder = Folder(output)
    with folder.opened(told):
        yield from engine.process(
            found, told, folder, engine.Pool(workers=2), load
        )
        folder.end({})


if __name__ == "__main__":
    address, *paths = sys.argv[1:]
    engine.connect(address)
    for source, reason in process(*map(pathlib.Path, paths), span=20):
        print(source.name, reason, flush=True)
