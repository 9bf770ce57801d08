"""Records of a few drawn clips, for tests that need a data set."""

from keras_vas.data import moving_actors, records


def _convert(video_id, split):
    frame = moving_actors.annotated_frame(
        video_id, split, seed=1, height=64, width=64
    )
    return records.Conversion([frame])


def write(folder, **clips):
    """Writes records of 64 x 64 pixels.

    Args:
        folder: where to.
        **clips: how many clips a split has, such as `train=7`.

    Returns:
        `folder`.
    """
    records.write_dataset(
        folder,
        "moving_actors",
        {
            split: [f"{split}-{i:06d}" for i in range(count)]
            for split, count in clips.items()
        },
        _convert,
        workers=1,
        shards={split: min(2, count) for split, count in clips.items()},
        source_fingerprint="",
        progress=False,
    )
    return folder
