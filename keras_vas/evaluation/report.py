"""What an evaluation leaves behind, and its numbers beside the paper's.

    OUT/metrics.json   the numbers of `metrics.protocol`, and what was run
    OUT/samples.csv    one row a sample
    OUT/samples.png    some samples, evenly spread over the split
    OUT/overlay.mp4    more of them as clips, each held at its target frame
    OUT/pictures/      best-1.png ..., median-1.png ..., worst-1.png ...

metrics.json is removed before the first file is replaced and written last:
where it stands, it belongs to the files beside it.
"""

import contextlib
import csv
import json
import pathlib
import tempfile

import numpy as np

from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.files import atomic_path
from keras_vas.pictures import overlay, panels

MADE_BY = "keras_vas evaluation"
GROUPS = ("best", "median", "worst")
_PANEL_SAMPLES = 6
_VIDEO_SAMPLES = 12
_VIDEO_FPS = 8


def check_output(output, header):
    """Raises a `UserError` if results would replace files of another origin.

    Files count as an evaluation's own if metrics.json says so, or, where
    there is none (a run was killed), if samples.csv has the right header.

    Args:
        output: folder for the results, which need not exist.
        header: list of the names of the columns of samples.csv.
    """
    output = pathlib.Path(output)
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is not a folder; give another --output")
    names = ("metrics.json", "samples.csv", "samples.png", "overlay.mp4")
    taken = [output / name for name in names] + _pictures(output)
    taken = [path for path in taken if path.exists()]
    if taken and not _is_own(output, header):
        raise UserError(
            f"{taken[0]} was not written by evaluate.py and would be "
            "overwritten; give another --output, or move it away"
        )


def _pictures(output):
    return [
        path
        for group in GROUPS
        for path in sorted((output / "pictures").glob(f"{group}-*.png"))
    ]


def _is_own(output, header):
    try:
        text = (output / "metrics.json").read_text(encoding="utf-8")
        return json.loads(text)["made_by"] == MADE_BY
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        return False
    try:
        with open(output / "samples.csv", encoding="utf-8", newline="") as file:
            return next(csv.reader(file), None) == header
    except (FileNotFoundError, ValueError, csv.Error):
        return False


@contextlib.contextmanager
def csv_rows(output, header):
    """Yields a `csv.writer` for OUT/samples.csv.

    The file takes its name, and an older metrics.json goes away, when the
    block ends without an error.

    Args:
        output: folder for the results.
        header: list of the names of the columns.
    """
    with atomic_path(output / "samples.csv") as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            yield writer
        (output / "metrics.json").unlink(missing_ok=True)


class MaskFile:
    """Masks, compressed in a temporary file that goes away on exit."""

    def __enter__(self):
        self._file = tempfile.TemporaryFile()
        self._ends = [0]
        return self

    def __exit__(self, *_):
        self._file.close()

    def append(self, mask):
        """Stores a bool array `(height, width)`; returns its number."""
        self._ends.append(
            self._ends[-1] + self._file.write(schema.encode_mask(mask))
        )
        return len(self._ends) - 2

    def __getitem__(self, i):
        """The mask number `i`; none can be appended after that."""
        self._file.seek(self._ends[i])
        data = self._file.read(self._ends[i + 1] - self._ends[i])
        return schema.decode_mask(data)


def write_pictures(output, index, ious, masks, count):
    """Writes OUT/pictures/, OUT/samples.png and OUT/overlay.mp4.

    Args:
        output: folder for the results; its older pictures go away.
        index: `records.RecordIndex`.
        ious: `(samples,)`.
        masks: predicted masks, indexed by the number of a sample.
        count: pictures of the best, of the median and of the worst.
    """
    records, queries = index.sample_records, index.sample_queries
    for path in _pictures(output):
        path.unlink()

    def drawable(sample):
        record = index.read(int(records[sample]))
        query = record.queries[queries[sample]]
        return {
            "frames": [schema.decode_jpeg(data) for data in record.clip],
            "target": schema.TARGET_INDEX,
            "truth": record.actors[query.actor].mask,
            "prediction": masks[sample],
            "text": f"{query.text} · IoU {ious[sample]:.2f}",
        }

    videos = np.array([key.rpartition("/")[0] for key in index.keys])[records]
    for group, samples in chosen_samples(ious, videos, count).items():
        for rank, sample in enumerate(samples, 1):
            drawn = drawable(sample)
            picture = panels.sample_picture(
                drawn["frames"][drawn["target"]],
                drawn["truth"],
                drawn["prediction"],
                drawn["text"],
            )
            path = output / "pictures" / f"{group}-{rank}.png"
            overlay.write_png(path, picture)
    panel = panels.samples_panel(
        [drawable(sample) for sample in _spread(len(ious), _PANEL_SAMPLES)]
    )
    overlay.write_png(output / "samples.png", panel)
    _write_video(
        output / "overlay.mp4",
        [drawable(sample) for sample in _spread(len(ious), _VIDEO_SAMPLES)],
    )


def _spread(total, count):
    """At most `count` numbers, evenly spread over `range(total)`."""
    return np.unique(np.linspace(0, total - 1, count).round().astype(int))


def _write_video(path, samples):
    """Clips of the size of the first one, each held at its target frame."""
    size = samples[0]["frames"][0].shape
    frames, masks, captions = [], [], []
    for sample in samples:
        clip = sample["frames"]
        if clip[0].shape != size:
            continue
        held = [clip[sample["target"]]] * _VIDEO_FPS
        frames += [*clip, *held]
        masks += [np.zeros(size[:2], bool)] * len(clip)
        masks += [sample["prediction"]] * len(held)
        captions += [sample["text"]] * (len(clip) + len(held))
    panels.write_overlay_video(path, frames, masks, captions, _VIDEO_FPS)


def chosen_samples(ious, videos, count):
    """Which samples are the best, the median and the worst.

    Within a group no two are of the same video.

    Args:
        ious: `(samples,)`.
        videos: `(samples,)`, name of each sample's video.
        count: samples in a group, fewer if there are fewer videos.

    Returns:
        dict of group name to list of sample numbers.
    """
    order = np.argsort(-np.asarray(ious), kind="stable")
    distance = np.abs(np.arange(len(order)) - (len(order) - 1) / 2)
    from_middle = order[np.argsort(distance, kind="stable")]
    groups = zip(GROUPS, (order, from_middle, order[::-1]), strict=True)
    chosen = {}
    for group, samples in groups:
        _, first = np.unique(np.asarray(videos)[samples], return_index=True)
        chosen[group] = samples[np.sort(first)][:count].tolist()
    return chosen


def write_metrics(output, report):
    """Writes OUT/metrics.json, as the last of the results.

    Args:
        output: folder for the results.
        report: dict that JSON can hold.

    Returns:
        `report` with the mark that tells an evaluation's own files.
    """
    report = {"made_by": MADE_BY, **report}
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)
    with atomic_path(output / "metrics.json") as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")
    return report


def table(report, model):
    """The numbers in percent, beside those published of the model.

    Args:
        report: dict of `evaluation.evaluate`.
        model: `SegmentationModel`, or its class.

    Returns:
        Text of several lines.
    """
    calibrated = report.get("calibrated")
    names = [f"P@{x}" for x in report["precision_at"]] + [
        "AP",
        "overall",
        "mean",
        "COCO mAP",
    ]
    rows = [("", names), ("this run", _percent(report))]
    if calibrated:
        label = f"this run > {calibrated['threshold']:.3g}"
        rows.append((label, _percent(calibrated)))
    published = model.results.get(report["dataset"])
    if report["split"] == "test" and published:
        paper = [f"{x:.1f}" for x in published]
        name = model.reference.partition(" (")[0].partition(",")[0]
        rows.append((f"{name}, the paper", [*paper, "-"]))
    label_width = max(16, *(len(label) + 1 for label, _ in rows))
    lines = [
        f"{report['dataset']}, {report['split']} split: {report['samples']:,} "
        "samples; percent; overall and mean are IoU"
    ]
    if calibrated:
        lines[0] += (
            f"; masks above {report['threshold']}, then above the run's "
            "calibrated threshold"
        )
    for label, cells in rows:
        numbers = "".join(f"{cell:>9}" for cell in cells)
        lines.append(f"{label:<{label_width}}{numbers}")
    if report["choice_samples"]:
        line = _choice(report, "", "another actor")
        if calibrated:
            share = 100 * calibrated["choice_accuracy"]
            line += f", calibrated {share:.1f} %"
        if report["mean_iou_chosen"] is not None:
            line += f"; mean IoU {100 * report['mean_iou_chosen']:.1f} in these"
        lines.append(line)
    if report["lookalike_choice_samples"]:
        lines.append(_choice(report, "lookalike_", "one that looks alike"))
    return "\n".join(lines)


def _percent(report):
    keys = ("ap", "overall_iou", "mean_iou", "coco_map")
    values = *report["precision_at"].values(), *(report[key] for key in keys)
    return [f"{100 * x:.1f}" for x in values]


def _choice(report, prefix, rival):
    return (
        f"right actor: {100 * report[f'{prefix}choice_accuracy']:.1f} % of "
        f"{report[f'{prefix}choice_samples']:,} samples with {rival}"
    )
