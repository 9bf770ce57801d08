"""What was found in a video, kept in compact form."""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
from pycocotools import mask as coco

from keras_vas.errors import UserError
from keras_vas.metrics import THRESHOLD
from keras_vas.pictures.overlay import draw, palette_for
from keras_vas.prediction.result_folder import ResultFolder
from keras_vas.video.reader import Video


@dataclasses.dataclass(frozen=True, eq=False)
class FrameResult:
    """What is found in one frame.

    Attributes:
        number: of the frame, counted from 1.
        time_seconds: since the first frame.
        frame: uint8 RGB `(height, width, 3)`.
        probabilities: float32 `(queries, height, width)`, 0..1, at the
            video's own size.
        scores: float32 `(queries,)`, 0..1, how sure the model is that the
            actor is there at all.
    """

    number: int
    time_seconds: float
    frame: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray


class Segmentation:
    """Masks of some sentences in some frames of a video.

    Args:
        video: `video.Video`.
        queries: list of str.
        threshold: what a probability must exceed to belong to a mask.
        keep_probabilities: whether probabilities are kept too.

    Attributes:
        queries: tuple of the sentences.
        numbers: list of the frames' numbers, counted from 1.
        times: list of their seconds since the first frame.
        threshold: as given.
    """

    def __init__(
        self,
        video: Video,
        queries: Sequence[str],
        threshold: float = THRESHOLD,
        *,
        keep_probabilities: bool = False,
    ):
        self.queries = tuple(queries)
        self.numbers: list[int] = []
        self.times: list[float] = []
        self.threshold = threshold
        self._video = video
        self._scores, self._run_lengths = [], []
        self._probabilities = [] if keep_probabilities else None

    def add(self, found: FrameResult) -> None:
        """Adds what was found in the next frame."""
        self.numbers.append(found.number)
        self.times.append(found.time_seconds)
        self._scores.append(found.scores)
        self._run_lengths.append(
            [
                coco.encode(np.asfortranarray(p > self.threshold, np.uint8))
                for p in found.probabilities
            ]
        )
        if self._probabilities is not None:
            self._probabilities.append(found.probabilities)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def mask(self, index: int) -> np.ndarray:
        """Bool `(queries, height, width)`, the masks of one frame."""
        masks = [coco.decode(x) for x in self._run_lengths[index]]
        return np.stack(masks).astype(bool)

    @property
    def masks(self) -> np.ndarray:
        """Bool `(frames, queries, height, width)`, made when asked for."""
        return np.stack([self.mask(i) for i in range(len(self))])

    @property
    def scores(self) -> np.ndarray:
        """float32 `(frames, queries)`, 0..1: is the actor there at all."""
        return np.stack(self._scores)

    @property
    def probabilities(self) -> np.ndarray | None:
        """float32 `(frames, queries, height, width)`, or `None`."""
        if self._probabilities is None:
            return None
        return np.stack(self._probabilities)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames that were segmented, uint8 `(height, width, 3)`.

        The video is read once more.

        Raises:
            UserError: a camera cannot be read again.
        """
        if not self._video.again:
            raise UserError(
                f"{self._video.name} cannot be read again; use Predictor."
                "stream, which gives the frames with their masks"
            )
        wanted = set(self.numbers)
        for frame in self._video:
            if frame.number in wanted:
                yield frame.image
            if frame.number >= self.numbers[-1]:
                return

    def overlay(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Frames with every mask in the colour of its sentence.

        Args:
            indices: of the frames in this result; all by default.

        Returns:
            uint8 `(frames, height, width, 3)`.

        Raises:
            UserError: as `frames`.
        """
        wanted = set(range(len(self)) if indices is None else indices)
        drawn = {}
        for i, image in enumerate(self.frames()):
            if i == 0:
                palette = palette_for(image, len(self.queries))
            if i in wanted:
                drawn[i] = draw(image, self.mask(i), palette)
        order = range(len(self)) if indices is None else indices
        return np.stack([drawn[i] for i in order])

    def save(self, directory: str | os.PathLike) -> None:
        """Writes overlay.mp4, masks/, masks.json and contact_sheet.png.

        The files are those of `result_folder.ResultFolder`.

        Args:
            directory: folder, missing, empty or of an earlier result.

        Raises:
            UserError: the folder holds something else, or `frames` raises.
        """
        with ResultFolder(directory, self._video, self.queries) as folder:
            for i, image in enumerate(self.frames()):
                folder.add(
                    self.numbers[i],
                    self.times[i],
                    image,
                    self.mask(i),
                    self._scores[i],
                )
