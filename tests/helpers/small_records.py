"""Records of a few clips, for tests that need a data set."""

from keras_vas.data import records
from keras_vas.data.moving_actors import drawing


def write(folder, convert, videos, dataset="fabricated", shards=1):
    """Writes records of what a test fabricates.

    Args:
        folder: where to.
        convert: `(video_id, split)` to `records.Conversion`.
        videos: dict from split to its video ids.
        dataset: name of the data set.
        shards: int, most shards of a split.

    Returns:
        `folder`.
    """
    records.write_dataset(
        folder,
        dataset,
        videos,
        convert,
        workers=1,
        shards={split: min(shards, len(ids)) for split, ids in videos.items()},
        source_fingerprint="",
        progress=False,
    )
    return folder


def write_drawn(folder, **clips):
    """Writes records of moving actors, 64 x 64 pixels, in two shards.

    Args:
        folder: where to.
        **clips: how many clips a split has, such as `train=7`.

    Returns:
        `folder`.
    """
    videos = {
        split: [f"{split}-{i:06d}" for i in range(count)]
        for split, count in clips.items()
    }
    return write(folder, _drawn, videos, "moving_actors", shards=2)


def _drawn(video_id, split):
    frame = drawing.annotated_frame(
        video_id, split, seed=1, height=64, width=64
    )
    return records.Conversion([frame])
