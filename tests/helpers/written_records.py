"""A small data set, written: two frames a video, with noise for pictures."""

import time

import numpy as np

from keras_vas.data import records
from keras_vas.data.records import schema

SIZE = (16, 24)


def convert(video_id, split, *, empty=(), pause=0.0):
    """Two frames a video, with one and two sentences."""
    time.sleep(pause)
    if video_id in empty:
        return records.Conversion([], [("nothing in it", video_id)])
    seed = sum(video_id.encode())
    rng = np.random.default_rng(seed)
    clip = [
        rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        for _ in range(schema.CLIP_LENGTH)
    ]
    actors = tuple(
        schema.Actor(str(i), rng.random(SIZE) > 0.5) for i in range(2)
    )
    texts = [f"{video_id} one", f"{video_id} two"]
    frames = [
        schema.AnnotatedFrame(
            dataset="small",
            video_id=video_id,
            subset=split,
            frame_number=number,
            clip=clip,
            clip_frame_numbers=schema.clip_frame_numbers(number, 30),
            height=SIZE[0],
            width=SIZE[1],
            actors=actors,
            queries=tuple(
                schema.Query(text, i)
                for i, text in enumerate(texts[: 1 + number // 20])
            ),
        )
        for number in (10, 20)
    ]
    return records.Conversion(frames, [("left out", f"{video_id}/3")])


VIDEOS = {
    "train": [f"train_{i}" for i in range(7)],
    "test": [f"test_{i}" for i in range(3)],
}


def write(output, **changes):
    arguments = {
        "workers": 1,
        "shards": {"train": 3, "test": 8},
        "source_fingerprint": "x",
        "progress": False,
        "videos": VIDEOS,
        "convert": convert,
    } | changes
    return records.write_dataset(output, "small", **arguments)


def contents(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file()
    }
