"""What decides on the results of an archive."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from keras_vas import __version__, files
from keras_vas.errors import UserError
from keras_vas.prediction.options import Source


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is kept of a video.

    Attributes:
        every: distance of the frames that are segmented: 2 takes frames 1,
            3, 5 and so on.
        compute_every: distance of the results that the network computes; the
            others are interpolated linearly. Faster, and an approximation.
        threshold: probability above which a pixel belongs to the actor; by
            default the model's own.
        find: keep the best moments of each video and sentence alone, by the
            score that the actor is there.
        moments: how many moments of a video and sentence --find keeps.
        apart: seconds that two such moments are apart at least.
        span: frames that a worker takes at a time; a longer video is split.

    Raises:
        UserError: a number is out of range.
    """

    every: int = 1
    compute_every: int = 1
    threshold: float | None = None
    find: bool = False
    moments: int = 3
    apart: float = 2.0
    span: int = 1000

    def __post_init__(self):
        for name in ("every", "compute_every", "moments", "span"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be 1 up")
        if not 0 <= self.apart < float("inf"):
            raise UserError(f"apart={self.apart:g} must be 0 s or more")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UserError(f"threshold={self.threshold:g} must be in [0, 1]")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a worker is told.

    Attributes:
        source: `options.Source`; a path is absolute.
        sentences: tuple of str.
        choice: `Choice`, with a threshold.
        fingerprint: SHA-256 of the model, see `fingerprint`.
        version: of keras_vas.
    """

    source: Source
    sentences: tuple[str, ...]
    choice: Choice
    fingerprint: str
    version: str = __version__

    def decisive(self):
        """Dict of what other results would come of."""
        return {
            "keras_vas": self.version,
            "the model": self.fingerprint,
            "the sentences": list(self.sentences),
            **{
                f"--{name}": value
                for name, value in dataclasses.asdict(self.choice).items()
            },
        }


def fingerprint(model, predictor):
    """SHA-256 of a model's weights and words, hexadecimal.

    Args:
        model: what it was loaded from.
        predictor: `predictor.Predictor`; of an export, which does not show
            its weights, the files are read.
    """
    digest = hashlib.sha256()
    if predictor.model is None:
        for path in sorted(pathlib.Path(model).rglob("*")):
            if path.is_file():
                with open(path, "rb") as file:
                    digest.update(files.fingerprint(file)["sha256"].encode())
        return digest.hexdigest()
    from keras_vas.models.variables import model_variables

    for path, variable in model_variables(predictor.model).items():
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(variable))
    digest.update("\n".join(predictor.vocabulary.words).encode())
    return digest.hexdigest()
