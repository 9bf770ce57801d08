"""A video and sentences in, masks out.

predictor = keras_vas.load("runs/demo")
result = predictor.segment("in.mp4", ["the dog running on the left"])
result.masks, result.scores, result.times
result.save("out")
"""

import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from keras_vas import files, presets
from keras_vas.data.text import vocabulary as vocabulary_lib
from keras_vas.errors import UserError
from keras_vas.metrics import THRESHOLD
from keras_vas.prediction import about as about_lib
from keras_vas.prediction import runtimes, windows
from keras_vas.prediction.options import Options
from keras_vas.prediction.result import FrameResult, Segmentation
from keras_vas.prediction.word_attention import WordAttention, sentence_words
from keras_vas.presence import score as presence_score
from keras_vas.presets import addresses, keras_file, preset_file
from keras_vas.runs import run as run_directory
from keras_vas.video.reader import Source, open_video

_LARGEST_RESULT = 2**31
_HELD_FRAMES = 2**28


def load(
    path: str | os.PathLike,
    which: Literal["best", "last"] = "best",
    runtime: runtimes.Runtime | None = None,
) -> "Predictor":
    """Loads a trained model.

    Args:
        path: name or file of a preset, a run directory of train.py, a `.keras`
            file, the address of such a file (`https://HOST/FILE#sha256=HEX`,
            `hf://USER/MODEL`, `kaggle://...`), or a SavedModel or OpenVINO
            folder of export.py (or the folder above it, whose highest version
            is taken).
        which: checkpoint of a run directory, `"best"` or `"last"`.
        runtime: what computes, see `runtimes.segmenter`; by default
            TensorFlow, or what an export was made for.

    Returns:
        `Predictor`.

    Raises:
        UserError: there is nothing, or something else.
    """
    given, path = path, pathlib.Path(presets.local(path))
    name = path.absolute().name
    if addresses.is_address(given):
        name = addresses.name_of(str(given))
    if path.is_file() and path.suffix != preset_file.SUFFIX:
        return _predictor(name, runtime, *keras_file.load(path))
    run = pathlib.Path(presets.run_of(path))
    preset = None if run == path else presets.PRESETS.get(str(given))
    path = run
    if (path / "config.json").is_file():
        model, vocabulary, config = run_directory.load_run(path, which)
        calibration = presence_score.Calibration.load(path)
        loaded = model, vocabulary, config, calibration, preset
        return _predictor(name, runtime, *loaded)
    for folder in [path, *reversed(files.version_folders(path))]:
        for own, file in runtimes.FILES.items():
            if (folder / file).is_file():
                runtimes.check(runtime, own, folder)
                return _exported(name, folder, own)
    what = "holds no model" if path.is_dir() else "does not exist"
    raise UserError(
        f"{path} {what}; name a run directory of train.py, a .keras file, "
        "SavedModel or OpenVINO folder of export.py, or a preset: "
        f"{', '.join(presets.PRESETS)}"
    )


def _exported(name, folder, runtime):
    words, vocabulary = folder / runtimes.WORDS, None
    if words.is_file() or runtime == "openvino":
        vocabulary = vocabulary_lib.Vocabulary.load(words)
    segmenter = runtimes.exported(runtime, folder, vocabulary)
    about = about_lib.of_export(name, folder, vocabulary)
    return Predictor(segmenter, about, None, vocabulary, segmenter.threshold)


def _predictor(
    name, runtime, model, vocabulary, config, calibration, preset=None
):
    flags = config["flags"]
    size = flags["frame_height"], flags["frame_width"]
    segmenter = runtimes.segmenter(
        runtime, model, vocabulary, *size, calibration
    )
    about = (
        about_lib.of_preset(name, preset, model, vocabulary)
        if preset
        else about_lib.of_run(name, config, model, vocabulary)
    )
    return Predictor(segmenter, about, model, vocabulary, calibration.threshold)


class Predictor:
    """Segments videos by sentences; made by `load`.

    Attributes:
        about: `about.About` the model, as a str one line.
        runtime: what computes, and in which precision: str.
        model: the `SegmentationModel`, `None` of an export.
        vocabulary: its `Vocabulary`, `None` of a SavedModel without one.
        threshold: what a probability must exceed to belong to a mask, unless
            told: the calibrated number of a run, 0.5 without one.
    """

    def __init__(
        self,
        segmenter,
        about,
        model=None,
        vocabulary=None,
        threshold=THRESHOLD,
    ):
        self.about = about
        self.runtime = segmenter.runtime
        self.threshold = threshold
        self.model = model
        self.vocabulary = vocabulary
        self._segmenter = segmenter
        self._attending = None

    def unknown_words(self, queries: str | Sequence[str]) -> list[str]:
        """The words of sentences that the model does not know.

        Args:
            queries: sentences, a list of str (or one str).

        Returns:
            List of str, each once; empty if the model does not tell its words.
        """
        if self.vocabulary is None:
            return []
        queries = [queries] if isinstance(queries, str) else list(queries)
        return vocabulary_lib.unknown_words(queries, self.vocabulary)

    def warnings(self, queries: Sequence[str]) -> list[str]:
        """What will not be understood of sentences.

        Args:
            queries: list of str.

        Returns:
            List of at most two lines, about unknown and about too many words.
        """
        unknown, most = self.unknown_words(queries), vocabulary_lib.MAX_WORDS
        long = [
            f'"{x[:60]}"'
            for x in queries
            if len(vocabulary_lib.tokenize(x)) > most
        ]
        lines = []
        if unknown:
            lines.append(f"It does not know: {vocabulary_lib.listed(unknown)}.")
        if long:
            lines.append(
                f"It reads only the first {most} words of: "
                f"{vocabulary_lib.listed(long)}"
            )
        return lines

    def segment(
        self,
        video: Source,
        queries: str | Sequence[str],
        *,
        threshold: float | None = None,
        keep_probabilities: bool = False,
        **options: Any,
    ) -> Segmentation:
        """Segments a video; the whole result is kept, in compact form.

        Args:
            video: whatever `video.open_video` opens: path of a video or of a
                folder of images, number of a camera, or uint8 frames
                `(time, height, width, 3)`.
            queries: sentences, a list of str (or one str).
            threshold: what a probability must exceed to belong to a mask,
                instead of the predictor's own.
            keep_probabilities: also keep float32 probabilities, 4 bytes a
                pixel, frame and sentence.
            **options: as `stream` takes them.

        Returns:
            `Segmentation`.

        Raises:
            UserError: as `stream`.
        """
        queries = _sentences(queries)
        video = open_video(video)
        result = Segmentation(
            video,
            queries,
            self.threshold if threshold is None else threshold,
            keep_probabilities=keep_probabilities,
        )
        for found in self.stream(video, queries, **options):
            result.add(found)
        return result

    def stream(
        self,
        video: Source,
        queries: str | Sequence[str],
        *,
        numbers: Collection[int] | None = None,
        **options: Any,
    ) -> Iterator[FrameResult]:
        """Segments a video frame by frame, in memory that does not grow.

        Args:
            video: as for `segment`.
            queries: sentences, a list of str (or one str).
            numbers: of the frames to segment, from 1; all by default.
            **options: fields of `options.Options`: `every`, `times`,
                `smoothing`, `compute_every`, `batch_size`.

        Returns:
            Iterator of `FrameResult`, in the order of time.

        Raises:
            UserError: the video cannot be read, holds no frame or ends before
                one of `times`; there is no sentence, or so many that the
                result of one frame would not fit into memory; a number is
                out of range.
        """
        queries = _sentences(queries)
        options = Options(**options)
        which = {"every": options.every, "times": options.times}
        targets = windows.windows(
            open_video(video), self._segmenter.shrink, numbers=numbers, **which
        )
        found = _interpolated(
            self._computed(
                targets, queries, options.compute_every, options.batch_size
            )
        )
        if options.smoothing:
            found = _smoothed(found, options.smoothing)
        return self._enlarged(found)

    def attention(
        self, video: Source, query: str, number: int = 1
    ) -> dict[tuple[str, int], np.ndarray]:
        """Which places each word of a sentence attends to (figure 5).

        Args:
            video: as for `segment`.
            query: one sentence.
            number: of the target frame, counted from 1.

        Returns:
            Dict from `(encoder, stage)`, such as `("spatial", 3)`, to float32
            `(words, height, width)`, equation 3 of CMAM at the target frame,
            scaled to the size at which the network sees the frame, without
            padding; the words are those of `words(query)`.

        Raises:
            UserError: the model is an export, which has no such maps; or the
                video has no such frame.
        """
        if self.model is None:
            raise UserError(
                "an export for serving or OpenVINO has no attention maps; load "
                "a run directory or a .keras file"
            )
        if self._attending is None:
            self._attending = WordAttention(self.model, self.vocabulary)
        for window in windows.windows(
            open_video(video), self._segmenter.shrink
        ):
            if window.frame.number == number:
                size = window.frame.image.shape[:2]
                return self._attending(window.clip, query, size)
        raise UserError(
            f"there is no frame {number}; the frames are 1 to "
            f"{window.frame.number}"
        )

    def words(self, query: str) -> list[str]:
        """The words that are read of a sentence, a list of str."""
        return sentence_words(query)

    def _computed(self, targets, queries, compute_every, batch_size):
        """Yields `(frame, result)`; `None` for what is to be interpolated."""
        text = self._segmenter.encode(queries)
        batch_size = batch_size or self._segmenter.batch_size(len(queries))
        for batch in _batches(targets, len(queries), compute_every, batch_size):
            clips = np.stack([x.clip for x, computed in batch if computed])
            results = zip(*self._segmenter.run(clips, text), strict=True)
            for window, computed in batch:
                yield window.frame, next(results) if computed else None

    def _enlarged(self, found):
        for frame, (probabilities, scores) in found:
            size = frame.image.shape[:2]
            yield FrameResult(
                frame.number,
                frame.time_seconds,
                frame.image,
                self._segmenter.enlarge(probabilities, *size),
                scores,
            )


def _sentences(queries):
    queries = [queries] if isinstance(queries, str) else list(queries)
    if not queries:
        raise UserError("there is no sentence; give one or more")
    for query in queries:
        if not isinstance(query, str) or not query.strip():
            raise UserError(f"a sentence must hold words, not {query!r}")
    return queries


def _batches(targets, queries, compute_every, size):
    """Yields lists of `(window, computed)` that end with a computed one."""
    batch, computed_ones, first = [], 0, True
    for window, computed in _marked(targets, compute_every):
        image = window.frame.image
        if first:
            _check_memory(image, queries)
            held = image.nbytes * compute_every
            size = min(size, max(1, _HELD_FRAMES // held))
            first = False
        batch.append((window, computed))
        computed_ones += computed
        if computed_ones == size:
            yield batch
            batch, computed_ones = [], 0
    if batch:
        yield batch


def _marked(targets, compute_every):
    """Marks the windows that are computed, the last one among them."""
    before = None
    for i, window in enumerate(targets):
        if before is not None:
            yield before
        before = window, i % compute_every == 0
    if before is not None:
        yield before[0], True


def _interpolated(found):
    """Fills what was not computed, linearly in the frames' numbers."""
    earlier, between = None, []
    for frame, result in found:
        if result is None:
            between.append(frame)
            continue
        for missing in between:
            start, old = earlier
            share = (missing.number - start) / (frame.number - start)
            yield (
                missing,
                tuple(
                    a + (b - a) * np.float32(share)
                    for a, b in zip(old, result, strict=True)
                ),
            )
        between = []
        yield frame, result
        earlier = frame.number, result


def _smoothed(found, smoothing):
    """Mixes each frame's probabilities with the smoothed ones before."""
    smooth = None
    for frame, (probabilities, scores) in found:
        if smooth is None:
            smooth = probabilities
        smooth = smooth + (probabilities - smooth) * np.float32(1 - smoothing)
        yield frame, (smooth, scores)


def _check_memory(image, queries):
    height, width = image.shape[:2]
    if 4 * queries * height * width > _LARGEST_RESULT:
        most = max(1, _LARGEST_RESULT // (4 * height * width))
        raise UserError(
            f"{queries:,} sentences about frames of {width} x {height} pixels "
            f"do not fit into memory; give at most {most:,} at a time"
        )
