"""Speed of the input pipeline against the bare decoding of its frames.

Both rates are samples per second of processor time, counted over all threads,
so that they are per core and do not depend on what else the machine does. The
start of a dataset is not counted.
"Bare" decodes the same eight JPEG files per sample with the same decoder,
from memory, and does nothing else.
"""

import tempfile
import time

import cv2
import numpy as np
import tensorflow as tf

from keras_vas.data import pipeline, records, transforms
from keras_vas.data.records import schema
from keras_vas.data.text.vocabulary import Vocabulary

SOURCE_SIZE = (320, 568)
SENTENCES = ("the man in red on the left", "dog running on the grass")
EVERYTHING = transforms.Augmentation(
    flip=0.5, crop=0.2, colour=0.2, word_dropout=0.1
)
SETTINGS = (
    ("plain", (320, 320), transforms.Augmentation()),
    ("flip", (320, 320), transforms.Augmentation(flip=0.5)),
    ("all augmentations", (320, 320), EVERYTHING),
    ("flip", (128, 224), transforms.Augmentation(flip=0.5)),
)


def measure(samples=256, rounds=3):
    """Measures the pipeline's rate for several settings.

    The records hold drawn scenes of 320 x 568 pixels, with a JPEG size like
    that of video frames, and no frame twice.

    Args:
        samples: int, samples per measurement, a multiple of 8.
        rounds: int; the settings take turns, and the best round counts.

    Returns:
        List of dicts: `setting`, `height`, `width`, `samples_per_second`,
        `bare_samples_per_second` (both per core) and `share`, their ratio.
    """
    with tempfile.TemporaryDirectory() as folder:
        records.write_dataset(
            folder,
            "scenes",
            {"train": [f"scene{number}" for number in range(4)]},
            _convert,
            workers=1,
            shards={"train": 1},
            source_fingerprint="",
            progress=False,
        )
        return _measure(records.read_index(folder, "train"), samples, rounds)


def _measure(index, samples, rounds):
    vocabulary = Vocabulary.build(SENTENCES)
    clips = [index.read(record).clip for record in range(len(index))]
    bare = tf.data.Dataset.from_tensor_slices(clips)
    runs = {"bare": bare.repeat(samples // len(clips)).map(_decode, 1)}
    for setting in SETTINGS:
        _, (height, width), augmentation = setting
        runs[setting] = pipeline.training_dataset(
            index,
            vocabulary,
            height=height,
            width=width,
            batch_size=8,
            seed=0,
            epochs=samples // index.num_samples,
            augmentation=augmentation,
            parallel=1,
        )
    best = dict.fromkeys(runs, 0.0)
    for _ in range(rounds):
        for name, dataset in runs.items():
            elements = iter(dataset)
            made = samples - len(next(elements)["sample"])
            start = time.process_time()
            for _ in elements:
                pass
            rate = made / (time.process_time() - start)
            best[name] = max(best[name], rate)
    return [
        {
            "setting": name,
            "height": size[0],
            "width": size[1],
            "samples_per_second": best[name, size, augmentation],
            "bare_samples_per_second": best["bare"],
            "share": best[name, size, augmentation] / best["bare"],
        }
        for name, size, augmentation in SETTINGS
    ]


def _decode(clip):
    """Decodes the frames of a sample one after the other."""
    frames = [
        tf.io.decode_jpeg(clip[i], channels=3)
        for i in range(schema.CLIP_LENGTH)
    ]
    return {"sample": tf.add_n([tf.size(frame) for frame in frames])[None]}


def _convert(video_id, split):
    number = int(video_id.removeprefix("scene"))
    numbers = schema.clip_frame_numbers(20, 40)
    height, width = SOURCE_SIZE
    mask = np.zeros(SOURCE_SIZE, np.uint8)
    cv2.ellipse(mask, (200, 160), (90, 60), 30, 0, 360, 1, -1)
    frame = schema.AnnotatedFrame(
        dataset="scenes",
        video_id=video_id,
        subset=split,
        frame_number=20,
        clip=[_scene(number, n, mask) for n in numbers],
        clip_frame_numbers=numbers,
        height=height,
        width=width,
        actors=(schema.Actor("1", mask.astype(bool)),),
        queries=tuple(schema.Query(text, 0) for text in SENTENCES),
    )
    return records.Conversion([frame])


def _scene(number, frame, mask):
    """Noise of several scales: as many bytes a pixel as filmed frames."""
    rng = np.random.default_rng([number, frame])
    picture = np.full((*SOURCE_SIZE, 3), 128.0)
    for scale, strength in ((2, 5), (8, 14), (64, 20)):
        rows, columns = (-(-size // scale) for size in SOURCE_SIZE)
        noise = rng.normal(0, strength, (rows, columns, 3))
        picture += cv2.resize(
            noise, SOURCE_SIZE[::-1], interpolation=cv2.INTER_CUBIC
        )
    picture[mask > 0] += 40
    return np.clip(picture, 0, 255).astype(np.uint8)
