"""J, F and J&F of whole videos: sentences and frames in, numbers out.

A frame's prediction is compared at the video's own size, above a probability
of 0.5, as `metrics.region_similarity` and `contour_accuracy` define it. A
sentence's J and F are means over its annotated frames, those of the benchmark
means over its sentences; in Ref-DAVIS17, of each annotator's run by itself and
then over the annotators. What is void in the truth is left out of both masks.
"""

import dataclasses
import pathlib
import time

import numpy as np

from keras_vas import command_line, files, metrics
from keras_vas.errors import UserError
from keras_vas.evaluation import dense_report, mask_layouts
from keras_vas.evaluation import report as evaluation_report


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What tells benchmarks apart.

    Attributes:
        layout: of the masks on disk, of `mask_layouts`.
        runs: whether sentences are of several runs, one an annotator.
    """

    layout: object = mask_layouts.BinaryMasks()
    runs: bool = False


BENCHMARKS = {
    "ref_davis17": Benchmark(mask_layouts.AnnotatorMasks(), runs=True),
    "refer_youtube_vos": Benchmark(mask_layouts.BinaryMasks("Annotations")),
    "mevis": Benchmark(),
    "a2d": Benchmark(),
    "jhmdb": Benchmark(),
}


@dataclasses.dataclass
class Row:
    """One sentence of one video; a row of sentences.csv.

    Attributes:
        video: its name.
        sentence: its id.
        run: the annotator, from 0; 0 where there is one run.
        text: the sentence.
        objects: what it means.
        j: list of the frames' J.
        f: list of the frames' F.
        shown: index of the frame that a picture shows.
        mask: number of its mask in the `MaskFile`.
    """

    video: str
    sentence: str
    run: int
    text: str
    objects: tuple
    j: list = dataclasses.field(default_factory=list)
    f: list = dataclasses.field(default_factory=list)
    shown: int | None = None
    mask: int | None = None


def evaluate(
    name,
    videos,
    output,
    segment=None,
    *,
    masks=None,
    write_masks=True,
    about=None,
    pictures=4,
    progress=True,
):
    """Evaluates a model, or masks on disk, and writes all under `output`.

    The files are those of `dense_report`.

    Args:
        name: key of `BENCHMARKS`.
        videos: list of `SetVideo` or `RecordVideo`.
        output: folder for the results; those of an earlier evaluation are
            replaced.
        segment: callable of a `Video`, a list of texts and the numbers of
            some frames that yields objects with the frame's `number` and
            float `probabilities` `(texts, height, width)`; or `None`.
        masks: folder whose masks are judged instead.
        write_masks: whether the masks of all frames, not only of the
            annotated ones, are found and written.
        about: dict of what metrics.json is to say besides.
        pictures: how many pictures of the best, the median and the worst.
        progress: whether a progress bar is shown.

    Returns:
        The dict in metrics.json; "j", "f" and "j_and_f" are `None` where no
        truth is known.

    Raises:
        UserError: there is no video, a file cannot be read, or `output` holds
            something else.
    """
    output = pathlib.Path(output)
    if not videos:
        raise UserError("there is no video to evaluate; check --data")
    layout = BENCHMARKS[name].layout
    about = {"benchmark": name, **(about or {})}
    started, frames = time.monotonic(), 0
    rows, unscored = [], 0
    with files.lock(output), evaluation_report.MaskFile() as kept:
        dense_report.begin(output, about, keep_masks=masks is not None)
        submission = output / dense_report.SUBMISSION
        for video in command_line.progress(
            videos,
            total=len(videos),
            desc="evaluate",
            unit="video",
            disable=not progress,
        ):
            own = _rows(video, layout)
            annotated = video.annotated() if any(own) else []
            unscored += sum(row is None for row in own)
            wanted = annotated
            if write_masks and masks is None:
                wanted = range(len(video.frame_names))
            found = (
                _predicted(video, wanted, segment, layout)
                if masks is None
                else _stored(video, wanted, masks, layout)
            )
            asked = _asked(video, own, annotated)
            for index, predicted in found:
                frames += 1
                if write_masks and masks is None:
                    layout.write(
                        submission, video, video.frame_names[index], predicted
                    )
                if index in asked:
                    _judge(video, index, asked[index], predicted, kept)
            rows += [row for row in own if row is not None and row.j]
        if write_masks and masks is None:
            mask_layouts.pack(submission, output / dense_report.ARCHIVE)
        seconds = time.monotonic() - started
        report = {
            **about,
            **_summary(rows, BENCHMARKS[name].runs),
            "videos": len(videos),
            "sentences": len(rows),
            "unscored_sentences": unscored,
            "scored_frames": sum(len(row.j) for row in rows),
            "threshold": metrics.THRESHOLD,
            "frames": frames,
            "seconds": round(seconds, 3),
            "frames_per_second": round(frames / seconds, 3),
        }
        dense_report.write(output, rows, videos, kept, pictures)
        return evaluation_report.write_metrics(output, report)


def _rows(video, layout):
    """A `Row` of each sentence, `None` where nobody knows what it means."""
    known = [sentence.objects is not None for sentence in video.sentences]
    runs = layout.runs(video.sentences)
    return [
        Row(video.name, x.id, run, x.text, x.objects) if there else None
        for x, run, there in zip(video.sentences, runs, known, strict=True)
    ]


def _asked(video, rows, annotated):
    """Dict from a frame's index to (number of the sentence, row) pairs."""
    asked = {}
    for number, row in enumerate(rows):
        if row is None:
            continue
        sentence = video.sentences[number]
        own = [i for i in annotated if video.asks(i, sentence)]
        row.shown = own[len(own) // 2] if own else None
        for index in own:
            asked.setdefault(index, []).append((number, row))
    return asked


def _judge(video, index, asked, predicted, kept):
    """Adds J and F of one frame to the rows of its sentences."""
    truth = video.truth(index)
    shape = predicted.shape[1:]
    for mask in truth.masks.values():
        if mask.shape != shape:
            raise UserError(
                f"the mask of {video.name}, frame {video.frame_names[index]}, "
                f"has {mask.shape[1]} x {mask.shape[0]} pixels and the frame "
                f"{shape[1]} x {shape[0]}; get the files of one version"
            )
    for number, row in asked:
        true = truth.meant(video.sentences[number], shape)
        mask = predicted[number]
        if truth.void is not None:
            true, mask = true & ~truth.void, mask & ~truth.void
        row.j.append(metrics.region_similarity(mask, true))
        row.f.append(metrics.contour_accuracy(mask, true))
        if index == row.shown:
            row.mask = kept.append(predicted[number])


def _predicted(video, indices, segment, layout):
    """Yields (index, masks) of some frames; equal texts are asked once."""
    if not video.sentences or not len(indices):
        return
    texts = list(dict.fromkeys(x.text for x in video.sentences))
    places = [texts.index(x.text) for x in video.sentences]
    by_number = {video.number(i): i for i in indices}
    for found in segment(video.source(), texts, by_number):
        yield (
            by_number[found.number],
            layout.decide(
                video, found.probabilities[places], metrics.THRESHOLD
            ),
        )


def _stored(video, indices, folder, layout):
    """The same, of masks that lie in a folder."""
    for index in indices if video.sentences else ():
        shape = video.image(index).shape[:2]
        name = video.frame_names[index]
        yield index, layout.read(folder, video, name, shape)


def _summary(rows, several):
    """J, F and J&F, as floats in [0, 1]."""
    if not rows:
        return {"j": None, "f": None, "j_and_f": None}
    runs = sorted({row.run for row in rows})
    each = [_means([r for r in rows if r.run == run]) for run in runs]
    whole = {key: float(np.mean([x[key] for x in each])) for key in each[0]}
    return {**whole, "annotators": each} if several else whole


def _means(rows):
    j, f = (
        float(np.mean([np.mean(getattr(row, key)) for row in rows]))
        for key in "jf"
    )
    return {"j": j, "f": f, "j_and_f": (j + f) / 2}
