"""Draws the moving-actors data set and writes it as TFRecords.

    python tfrecords/build_moving_actors.py --output=RECORDS

Nothing is downloaded. A video is one drawn clip of 8 frames with one
annotated frame, four actors and up to four sentences; train and test share
no (look, action, sentence form) triple. The same flags give the same bytes,
whatever the number of workers. Fields of a record: `keras_vas.data.schema`,
which also holds each actor's look and action here.
"""

import functools
import hashlib
import pathlib

from absl import flags

from keras_vas import errors
from keras_vas.data import (
    moving_actors,
    moving_actors_language,
    record_report,
    records,
)

_SHARDS = {"train": 8, "test": 2}


def convert(video_id, split, **drawing):
    """Draws the one annotated frame of a video."""
    frame = moving_actors.annotated_frame(video_id, split, **drawing)
    return records.Conversion([frame])


def build(output, clips, *, sentences, seed, height, width, workers):
    """Writes the records.

    Args:
        output: folder for the records.
        clips: dict from split to its number of clips.
        sentences: "actors", or "actions" for a first lesson in actions.
        seed: int, at least 0; another seed draws other clips.
        height: of the frames in pixels, at least 64.
        width: of the frames in pixels, at least 64.
        workers: number of processes; the records do not depend on it.

    Returns:
        dict, the manifest.
    """
    drawing = {
        "sentences": sentences,
        "seed": seed,
        "height": height,
        "width": width,
    }
    return records.write_dataset(
        output,
        moving_actors.DATASET,
        {
            split: [f"{split}-{index:06d}" for index in range(count)]
            for split, count in clips.items()
        },
        functools.partial(convert, **drawing),
        workers=workers,
        shards=_SHARDS,
        source_fingerprint=f"{drawing} {_code()}",
    )


def _code():
    """A digest of the code that draws the clips."""
    return hashlib.sha256(
        b"".join(
            pathlib.Path(module.__file__).read_bytes()
            for module in (moving_actors, moving_actors_language)
        )
    ).hexdigest()


def define_flags():
    """Defines the program's flags."""
    side = moving_actors.SMALLEST_SIDE
    flags.DEFINE_string(
        "output", None, "Folder for the records.", required=True
    )
    flags.DEFINE_integer("train_clips", 6000, "To train on.", lower_bound=1)
    flags.DEFINE_integer("test_clips", 400, "To test on.", lower_bound=1)
    flags.DEFINE_enum(
        "sentences",
        "actors",
        moving_actors.SENTENCES,
        "About single actors, or mostly about all who do an action.",
    )
    flags.DEFINE_integer("height", 96, "In pixels.", lower_bound=side)
    flags.DEFINE_integer("width", 96, "In pixels.", lower_bound=side)
    flags.DEFINE_integer(
        "seed", 0, "Another seed draws other clips.", lower_bound=0
    )
    flags.DEFINE_integer(
        "workers",
        records.default_workers(),
        "Processes; the records do not depend on it.",
        lower_bound=1,
    )


def main(_):
    """Writes the records and reports."""
    options = flags.FLAGS
    manifest = build(
        options.output,
        {"train": options.train_clips, "test": options.test_clips},
        sentences=options.sentences,
        seed=options.seed,
        height=options.height,
        width=options.width,
        workers=options.workers,
    )
    print(record_report.summary(manifest))
    print(f"records in {options.output}")


if __name__ == "__main__":
    define_flags()
    errors.run(main)
