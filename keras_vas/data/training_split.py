"""What a training takes from the training split, beside its batches."""

import fnmatch
import hashlib

import numpy as np

from keras_vas.data import records
from keras_vas.data.records import example_proto, schema, tfrecord
from keras_vas.errors import UserError


def divide(
    index,
    validation_fraction=0.1,
    validation_videos: tuple[str, ...] = (),
    seed=0,
):
    """Divides an index by videos, to choose the best checkpoint on a part.

    Everybody who asks which videos a run was not trained on asks this.

    Args:
        index: `records.RecordIndex` of the training split.
        validation_fraction: share of the training videos that is set aside
            and chooses the best checkpoint, 0 to 0.9; with 0 the training
            metrics choose.
        validation_videos: training videos that are set aside instead,
            patterns such as *_bus with commas between.
        seed: int; another seed sets other videos aside.

    Returns:
        `(training, validation)`: two `records.RecordIndex` without a common
        video; `validation` is `None` if nothing is set aside.

    Raises:
        UserError: one part would be empty, or a pattern fits no video.
        ValueError: the fraction is no number from 0 to 0.9.
    """
    if not 0 <= validation_fraction <= 0.9:
        raise ValueError(
            f"--validation_fraction={validation_fraction} must be 0 to 0.9"
        )
    if validation_videos:
        return set_aside_named(index, validation_videos)
    return set_aside_videos(index, validation_fraction, seed)


def divide_as_run(index, flags):
    """`divide` as the run did whose flags (a dict) these are."""
    return divide(
        index,
        flags.get("validation_fraction", 0.0),
        flags.get("validation_videos", ()),
        flags.get("seed", 0),
    )


def set_aside_videos(index, fraction, seed):
    """Divides an index by videos, to choose the best checkpoint on a part.

    Args:
        index: `records.RecordIndex`.
        fraction: share of the videos that is set aside, in [0, 1).
        seed: int; another seed sets other videos aside.

    Returns:
        `(training, validation)`: two `records.RecordIndex` without a common
        video; `validation` is `None` if `fraction` is 0.

    Raises:
        UserError: one part would be empty.
    """
    if not fraction:
        return index, None
    videos = index.videos
    order = sorted(
        set(videos.tolist()),
        key=lambda video: hashlib.sha256(f"{seed}/{video}".encode()).digest(),
    )
    count = max(1, round(fraction * len(order)))
    if count >= len(order):
        raise UserError(
            f"--validation_fraction={fraction} of {len(order)} videos leaves "
            "none to train on; give a smaller fraction, or 0"
        )
    aside = np.isin(videos, order[:count])
    return index.subset(~aside), index.subset(aside)


def set_aside_named(index, patterns):
    """The same for the videos that are named.

    Args:
        index: `records.RecordIndex`.
        patterns: shell patterns such as `davis_bus` or `*train*`.

    Returns:
        `(training, validation)`, as of `set_aside_videos`.

    Raises:
        UserError: a pattern fits no video, or nothing is left to train on.
    """
    videos = [video.split("/", 1)[-1] for video in index.videos]
    aside = np.zeros(len(videos), bool)
    for pattern in patterns:
        fits = np.array([fnmatch.fnmatchcase(name, pattern) for name in videos])
        if not fits.any():
            raise UserError(
                f"--validation_videos: no training video is called {pattern}; "
                f"there are {', '.join(sorted(set(videos))[:3])} ..."
            )
        aside |= fits
    if aside.all():
        raise UserError("--validation_videos leaves none to train on")
    return index.subset(~aside), index.subset(aside)


def sentences(index):
    """All sentences of a split, one str for each query.

    Args:
        index: `records.RecordIndex`.

    Raises:
        UserError: a record cannot be read.
    """
    found = []
    for path in dict.fromkeys(index.paths):
        with open(path, "rb") as shard:
            for offset in index.offsets[index.paths == path]:
                found += _texts(index, shard, int(offset))
    return found


def _texts(index, shard, offset):
    try:
        fields = example_proto.decode_example(tfrecord.read(shard, offset))
        return [text.decode() for text in fields[schema.QUERY_TEXTS]]
    except (
        tfrecord.CorruptRecordError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        named = records.corruption_error(index)
        raise (named or error) from error
