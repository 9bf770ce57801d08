"""What an evaluation of whole videos leaves behind.

OUT/benchmark.json     what is run, written first
OUT/sentences.csv      one row a sentence of a video
OUT/sequences.csv      one row a video
OUT/pictures/          best-1.png ..., median-1.png ..., worst-1.png ...
OUT/submission/        the masks in the benchmark's official layout
OUT/submission.zip     the same, as its server takes them
OUT/metrics.json       J, F and J&F, written last
"""

import csv
import itertools
import json
import pathlib

import numpy as np

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.evaluation import report as evaluation_report
from keras_vas.pictures import overlay, panels

MARK = "benchmark.json"
SUBMISSION = "submission"
ARCHIVE = "submission.zip"
_PARTS = (
    "metrics.json", "sentences.csv", "sequences.csv", "pictures", SUBMISSION,
    ARCHIVE,
)  # fmt: skip
_NUMBERS = ("frames", "j", "f", "j_and_f")


def check_output(output):
    """Raises a `UserError` if results would replace files of another origin.

    Args:
        output: folder for the results, which need not exist.
    """
    output = pathlib.Path(output)
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is not a folder; give another --output")
    taken = [name for name in _PARTS if (output / name).exists()]
    if taken and not _is_own(output / MARK):
        raise UserError(
            f"{output / taken[0]} was not written by evaluate.py --benchmark "
            "and would be overwritten; give another --output, or move it away"
        )


def _is_own(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["made_by"] == evaluation_report.MADE_BY
    except (OSError, ValueError, KeyError, TypeError):
        return False


def begin(output, about, keep_masks):
    """Removes an earlier evaluation's files and says what is run.

    Args:
        output: `pathlib.Path` of the folder.
        about: dict.
        keep_masks: whether masks stay, which are to be judged.

    Raises:
        UserError: as of `check_output`.
    """
    check_output(output)
    (output / "metrics.json").unlink(missing_ok=True)
    for path in (output / "pictures").glob("*-*.png"):
        path.unlink()
    if not keep_masks:
        (output / ARCHIVE).unlink(missing_ok=True)
        for path in (output / SUBMISSION).rglob("*.png"):
            path.unlink()
        _remove_empty(output / SUBMISSION)
    about = {"made_by": evaluation_report.MADE_BY, **about}
    files.write_json(output / MARK, about)


def _remove_empty(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write(output, rows, videos, masks, pictures):
    """Writes the tables and pictures.

    Args:
        output: `pathlib.Path` of the folder.
        rows: list of `dense.Row`, those of a video together.
        videos: list of `SetVideo`.
        masks: `evaluation_report.MaskFile`.
        pictures: how many of the best, the median and the worst.
    """
    _write_table(
        output / "sentences.csv",
        ["video", "sentence", "annotator", "text", "objects", *_NUMBERS],
        [
            [
                row.video,
                row.sentence,
                row.run,
                row.text,
                "+".join(row.objects),
                *_numbers([row]),
            ]
            for row in rows
        ],
    )
    _write_table(
        output / "sequences.csv",
        ["video", "sentences", *_NUMBERS],
        [
            [video, len(own), *_numbers(own)]
            for video, own in (
                (video, list(group))
                for video, group in itertools.groupby(rows, lambda x: x.video)
            )
        ],
    )
    if rows:
        _write_pictures(output, rows, videos, masks, pictures)


def _numbers(rows):
    """Frames judged, and the means of the sentences' J, F and J&F."""
    j = float(np.mean([np.mean(row.j) for row in rows]))
    f = float(np.mean([np.mean(row.f) for row in rows]))
    frames = sum(len(row.j) for row in rows)
    return [frames, *(f"{x:.6f}" for x in (j, f, (j + f) / 2))]


def _write_table(path, header, rows):
    with files.atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def _write_pictures(output, rows, videos, masks, count):
    by_name = {video.name: video for video in videos}
    scores = [np.mean(row.j) / 2 + np.mean(row.f) / 2 for row in rows]
    groups = evaluation_report.chosen_samples(
        scores, [row.video for row in rows], count
    )
    for group, chosen in groups.items():
        for rank, i in enumerate(chosen, 1):
            row, video = rows[i], by_name[rows[i].video]
            frame = video.image(row.shown)
            sentence = next(x for x in video.sentences if x.id == row.sentence)
            picture = panels.sample_picture(
                frame,
                video.truth(row.shown).meant(sentence, frame.shape[:2]),
                masks[row.mask],
                f"{row.text} · J&F {scores[i]:.2f}",
            )
            overlay.write_png(
                output / "pictures" / f"{group}-{rank}.png", picture
            )


def line(report):
    """The result as text of some lines."""
    if report["j"] is None:
        return (
            "no sentence could be scored: the data set does not tell what "
            "they mean"
        )
    text = _text(report)
    if "annotators" in report and len(report["annotators"]) > 1:
        text += "".join(
            f"\nannotator {i}: {_text(x)}"
            for i, x in enumerate(report["annotators"])
        )
    if report["unscored_sentences"]:
        text += (
            f"\nnot scored: {report['unscored_sentences']} sentences that "
            "name no object"
        )
    return text


def _text(numbers):
    return (
        f"J&F {100 * numbers['j_and_f']:.1f}, J {100 * numbers['j']:.1f}, F "
        f"{100 * numbers['f']:.1f}"
    )
