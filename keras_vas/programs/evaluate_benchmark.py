"""evaluate.py --benchmark: whole videos of a data set, by J and F."""

import pathlib
import tempfile

from keras_vas import command_line
from keras_vas.data import records
from keras_vas.data.video_sets import listed
from keras_vas.errors import UserError
from keras_vas.evaluation import dense, dense_report, record_videos


def evaluate(
    name,
    data,
    output,
    *,
    split=None,
    model=None,
    which="best",
    masks=None,
    write_masks=True,
    skip_corrupt=False,
):
    """Evaluates a model, or masks on disk, on a benchmark, and prints.

    Args:
        name: key of `dense.BENCHMARKS`.
        data: folder of the data set; of a2d and jhmdb, of its records.
        output: folder for the results.
        split: of the data set, by default the one usually reported.
        model: what `prediction.load` takes; `None` judges masks.
        which: checkpoint of a run, "best" or "last".
        masks: folder of the masks to judge, by default in `output`.
        write_masks: whether all frames are segmented and written.
        skip_corrupt: whether what is listed and not there is left out.

    Raises:
        UserError: as of `dense.evaluate`; or something is listed and missing.
    """
    output = pathlib.Path(output)
    dense_report.check_output(output)
    with tempfile.TemporaryDirectory() as scratch:
        videos, split = _videos(name, data, split, scratch, skip_corrupt)
        about = {"split": split}
        if model is None:
            masks = pathlib.Path(masks or output / dense_report.SUBMISSION)
            if not masks.is_dir():
                raise UserError(
                    f"there is no folder of masks {masks}; evaluate with "
                    "--write_masks first, or name one with --masks"
                )
            segment, about["masks"] = None, str(masks)
        else:
            segment = _segmenter(model, which, videos)
            about |= {"workdir": str(model), "checkpoint": which}
            masks = None
        report = dense.evaluate(
            name,
            videos,
            output,
            segment,
            masks=masks,
            write_masks=write_masks,
            about=about,
        )
    print(
        f"{name}, {split}: {command_line.counted(report['videos'], 'video')}, "
        f"{command_line.counted(report['sentences'], 'sentence')} scored in "
        f"{command_line.counted(report['scored_frames'], 'mask')}"
    )
    print(dense_report.line(report))
    written = ["metrics.json", "sequences.csv", "sentences.csv", "pictures/"]
    if model is not None and write_masks:
        written += [f"{dense_report.SUBMISSION}/", dense_report.ARCHIVE]
    print(f"written to {output}: {', '.join(written)}")


def _videos(name, data, split, scratch, skip_corrupt):
    """(list of videos, name of the split)."""
    if name not in listed.LAYOUTS:
        split = split or "test"
        index = records.read_index(data, split, skip_corrupt=skip_corrupt)
        return record_videos.of_records(index), split
    split = split or listed.LAYOUTS[name].evaluated
    videos, excluded = listed.read_split(data, name, split, scratch)
    missing = [x for x in excluded if x[0] in listed.DAMAGE]
    if missing and not skip_corrupt:
        reason, item = missing[0]
        raise UserError(
            f"{len(missing)} listed item(s) are not there, the first: {item}: "
            f"{reason}; get them, or leave them out with --skip_corrupt"
        )
    for reason, item in excluded:
        print(f"left out: {item}: {reason}")
    return videos, split


def _segmenter(model, which, videos):
    """The `segment` of `dense.evaluate`."""
    # TensorFlow takes its time; what can be wrong before it is said first.
    from keras_vas.prediction import predictor as prediction_predictor

    predictor = prediction_predictor.load(model, which)
    print(f"{predictor.about} Computed by {predictor.runtime}.")
    texts = dict.fromkeys(x.text for v in videos for x in v.sentences)
    for warning in predictor.warnings(list(texts)):
        print(warning)

    return lambda video, texts, numbers: predictor.stream(
        video, texts, numbers=numbers
    )
