"""Which model segments which frames of a video, and how."""

import dataclasses
from typing import Literal

from keras_vas.errors import UserError


@dataclasses.dataclass(frozen=True)
class Source:
    """Which model segments, and what computes it: what `predictor.load` takes.

    Attributes:
        model: preset, run directory, .keras file, folder of export.py, or the
            address of a file: https://HOST/FILE#sha256=HEX, hf://USER/MODEL or
            kaggle://...
        which: checkpoint of a run directory.
        runtime: what computes; auto takes OpenVINO where it is installed, in
            bfloat16 where the processor has it.
    """

    model: str
    which: Literal["best", "last"] = "best"
    runtime: Literal["auto", "tensorflow", "openvino"] = "auto"


@dataclasses.dataclass(frozen=True)
class Options:
    """Which frames of a video are segmented, and how.

    Attributes:
        every: distance of the segmented frames: 2 takes frames 1, 3, 5 and
            so on.
        times: seconds with commas between; the frames shown at these times
            are segmented instead.
        smoothing: share in [0, 1) that the smoothed probabilities of the
            result before have in those of a frame; 0 for none.
        compute_every: distance of the results that the network computes; the
            others are interpolated linearly. Faster, and an approximation.
        batch_size: clips that the network sees at a time; by default chosen
            for its frame size.

    Raises:
        UserError: a number is out of range.
    """

    every: int = 1
    times: tuple[float, ...] | None = None
    smoothing: float = 0.0
    compute_every: int = 1
    batch_size: int | None = None

    def __post_init__(self):
        for name in ("every", "compute_every", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value} must be 1 or more")
        if not 0 <= self.smoothing < 1:
            raise UserError(f"smoothing={self.smoothing:g} must be in [0, 1)")
        if self.times is not None and not len(self.times):
            raise UserError("times holds no time; give seconds")
