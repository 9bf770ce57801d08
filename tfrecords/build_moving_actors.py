"""Draws the moving-actors data set and writes it as TFRecords.

    python tfrecords/build_moving_actors.py --output=RECORDS

Nothing is downloaded. A video is one drawn clip of 8 frames with one
annotated frame, four actors and up to four sentences; train and test share
no (look, action, sentence form) triple. The same flags give the same bytes,
whatever the number of workers. `keras_vas.data.records.schema` has the fields
of a record, which also holds each actor's look and action here.
"""

import functools

import converter
from absl import flags

from keras_vas import command_line
from keras_vas.data import records
from keras_vas.data.moving_actors import drawing, language

_SHARDS = {"train": 8, "test": 2}
_MOST_CLIPS = 10**6
_LARGEST_SIDE = 2048


def convert(video_id, split, **options):
    """Draws the one annotated frame of a video."""
    frame = drawing.annotated_frame(video_id, split, **options)
    return records.Conversion([frame])


def build(output, clips, *, sentences, seed, height, width, workers, verify):
    """Writes the records.

    Args:
        output: folder for the records.
        clips: dict from split to its number of clips.
        sentences: "actors", or "actions" for a first lesson in actions.
        seed: int, at least 0; another seed draws other clips.
        height: of the frames in pixels, at least 64.
        width: of the frames in pixels, at least 64.
        workers: number of processes; the records do not depend on it.
        verify: whether complete records are read again, or `None`.

    Returns:
        dict, the manifest.
    """
    options = {
        "sentences": sentences,
        "seed": seed,
        "height": height,
        "width": width,
    }
    return records.write_dataset(
        output,
        drawing.DATASET,
        {
            split: [f"{split}-{index:06d}" for index in range(count)]
            for split, count in clips.items()
        },
        functools.partial(convert, **options),
        workers=workers,
        verify=verify,
        shards=_SHARDS,
        source_fingerprint=str(options),
        code=(drawing, language),
    )


def define_flags():
    """Defines the program's flags."""
    converter.define_flags()
    for split, count in (("train", 6000), ("test", 400)):
        flags.DEFINE_integer(
            f"{split}_clips",
            count,
            f"Clips of the {split} split.",
            lower_bound=1,
            upper_bound=_MOST_CLIPS,
        )
    flags.DEFINE_enum(
        "sentences",
        "actors",
        drawing.SENTENCES,
        "Sentences about single actors, or mostly about all who do an action.",
    )
    for side in ("height", "width"):
        flags.DEFINE_integer(
            side,
            96,
            f"The clips' {side} in pixels.",
            lower_bound=drawing.SMALLEST_SIDE,
            upper_bound=_LARGEST_SIDE,
        )
    flags.DEFINE_integer(
        "seed", 0, "Seed of the clips; another draws others.", lower_bound=0
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
        verify=options.verify,
    )
    converter.conclude(manifest)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
