"""The work that a visitor asks for: find sentences in a clip."""

import contextlib
import dataclasses
import pathlib
import shutil
import time
import zipfile

from keras_vas.errors import UserError
from keras_vas.prediction.result import Segmentation
from keras_vas.prediction.result_folder import ResultFolder

OVERLAY, ZIP = "overlay.mp4", "masks.zip"
EVERY = (1, 2, 5, 10)
_REPORT_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the work is.

    Attributes:
        done: frames.
        total: frames.
        seconds: since the first frame was done.
        last: `result.FrameResult`.
        masks: of the last frame, bool `(sentences, height, width)`.
    """

    done: int
    total: int
    seconds: float
    last: object
    masks: object


@dataclasses.dataclass(frozen=True)
class Result:
    """What was found in a clip.

    Attributes:
        folder: `pathlib.Path` with `OVERLAY` and `ZIP`.
        found: `Segmentation`.
        every: distance of its frames.
        seconds: how long it took.
    """

    folder: pathlib.Path
    found: Segmentation
    every: int
    seconds: float

    @property
    def id(self):
        """A str that cannot be guessed."""
        return self.folder.name


def sentences(text, limits):
    """The sentences of a text, one a line.

    Raises:
        UserError: there is none, or there are too many or too long ones.
    """
    lines = [" ".join(line.split()) for line in str(text or "").splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise UserError("Type a sentence, such as: the dog on the left")
    if len(lines) > limits.sentences:
        raise UserError(
            f"{len(lines)} sentences are too many; give at most "
            f"{limits.sentences}, one a line."
        )
    for line in lines:
        if len(line) > limits.letters:
            raise UserError(
                f"“{line[:30]}…” has {len(line)} letters; a sentence may have "
                f"{limits.letters}."
            )
    return lines


@contextlib.contextmanager
def work(visit):
    """Holds a visit's lock.

    Raises:
        UserError: something else is being done for the visit.
    """
    if not visit.lock.acquire(blocking=False):
        raise UserError("The last request is still being worked on; wait.")
    try:
        yield
    finally:
        visit.lock.release()
        if visit.closed:
            shutil.rmtree(visit.folder, ignore_errors=True)


def find(predictor, visit, sentences, every):
    """Finds sentences in the clip of a visit, whose result is there at the end.

    Ends early, without a new result, where the visit ends or is stopped.

    Args:
        predictor: `predictor.Predictor`.
        visit: `Visit` that shows a clip.
        sentences: list of str.
        every: distance of the frames.

    Yields:
        `Progress` about twice a second.
    """
    video = visit.clip.video()
    total = -(-len(visit.clip) // every)
    folder = visit.new_folder()
    found = Segmentation(video, sentences, predictor.threshold)
    started, first = time.monotonic(), None
    reported = started
    visit.stopped = finished = False
    try:
        with ResultFolder(folder, video, sentences, every) as files:
            for one in predictor.stream(video, sentences, every=every):
                if visit.closed or visit.stopped:
                    raise _StoppedError
                found.add(one)
                masks = found.mask(len(found) - 1)
                files.add(
                    one.number, one.time_seconds, one.frame, masks, one.scores
                )
                visit.used = now = time.monotonic()
                first = first or now
                if now - reported >= _REPORT_SECONDS:
                    reported = now
                    yield Progress(len(found), total, now - first, one, masks)
        _zip(folder)
        visit.clear()
        visit.result = Result(folder, found, every, time.monotonic() - started)
        finished = True
    except _StoppedError:
        return
    except OSError:
        if not visit.closed:
            raise
    finally:
        if not finished:
            visit.remove(folder)


class _StoppedError(Exception):
    pass


def _zip(folder):
    """Puts the files of a result into one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(folder / ZIP, "x", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder))
