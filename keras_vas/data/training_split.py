"""What a training takes from the training split, beside its batches."""

import hashlib

import numpy as np

from keras_vas.data import example_proto, records, schema, tfrecord
from keras_vas.errors import UserError


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
    videos = np.array([key.rsplit("/", 1)[0] for key in index.keys])
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
    except (tfrecord.CorruptRecordError, KeyError, ValueError) as error:
        named = records.corruption_error(index.directory, index.split)
        raise (named or error) from error
