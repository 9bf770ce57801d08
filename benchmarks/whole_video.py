r"""Speed and memory of segmenting a whole video with several sentences.

    python benchmarks/whole_video.py [--height=64 --width=64 ...]
    python benchmarks/whole_video.py --memory
    python benchmarks/whole_video.py --model=RUN --data=RECORDS --videos=FOLDER

The first compares frames/s with the plain way, which calls the compiled model
once per frame and sentence on clips that lie ready, in turn with ours in one
process; it also gives the largest difference of the probabilities. The second
runs segment.py on videos of 10 seconds and of 10 minutes and compares their
peak memory. The third measures what --compute_every costs in mean IoU, on
records and the videos that they were cut from.
"""

import fnmatch
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
import tensorflow as tf
from absl import flags

from keras_vas import CSTM, command_line, metrics
from keras_vas.data import frame_size, records
from keras_vas.data.records import schema
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import variables
from keras_vas.prediction.predictor import Predictor, load
from keras_vas.prediction.segmenters import KerasSegmenter
from keras_vas.presence import score as presence_score
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

FLAGS = flags.FLAGS
flags.DEFINE_integer("height", 64, "Height of the network's frames.")
flags.DEFINE_integer("width", 64, "Width of the network's frames.")
flags.DEFINE_float("channels", 0.25, "The model's width multiplier.")
flags.DEFINE_integer(
    "decoder_channels", 128, "Channels of the decoder before the multiplier."
)
flags.DEFINE_list(
    "cmam_stages", ["1", "2", "3", "4", "5"], "Stages with a CMAM, or none."
)
flags.DEFINE_string(
    "spatial_backbone", "inception_v3", "Network of the spatial encoder."
)
flags.DEFINE_integer("frames", 48, "Frames of the video.", lower_bound=2)
flags.DEFINE_integer(
    "queries", 3, "How many sentences there are.", lower_bound=1
)
flags.DEFINE_integer("rounds", 3, "Timed rounds; the medians count.")
flags.DEFINE_list(
    "compute_every", ["2", "4"], "Values of the approximation to measure."
)
flags.DEFINE_boolean("memory", False, "Compare the memory of two lengths.")
flags.DEFINE_integer("seconds", 600, "Length of the longer video.")
flags.DEFINE_string("model", None, "Run directory, for --data.")
flags.DEFINE_string("data", None, "Records, for the cost in mean IoU.")
flags.DEFINE_string("videos", None, "Folder with VIDEO.mp4 of the records.")
flags.DEFINE_string("only", "*", "Pattern of the names of videos of --data.")
flags.DEFINE_enum(
    "split", "test", ["train", "test"], "Split of the records in --data."
)
flags.DEFINE_string("measured", None, "Run this command; print its peak.")

WORDS = "the a red blue dog person on left right that jumps rolls".split()


def network():
    """An untrained predictor of the size that the flags ask for."""
    vocabulary = Vocabulary(WORDS)
    model = CSTM(
        vocabulary_size=len(vocabulary),
        width=FLAGS.channels,
        decoder_channels=FLAGS.decoder_channels,
        coordinate_fusion="linear",
        cmam_stages=tuple(int(x) for x in FLAGS.cmam_stages),
        spatial_backbone=FLAGS.spatial_backbone,
    )
    segmenter = KerasSegmenter(
        model,
        vocabulary,
        FLAGS.height,
        FLAGS.width,
        presence_score.Calibration(),
    )
    return Predictor(segmenter, None, model, vocabulary)


def sentences():
    """`--queries` different sentences of six words."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(FLAGS.queries)]


def plain_way(predictor, frames, queries):
    """The compiled model once per frame and sentence.

    Returns:
        Callable that gives the probabilities `(frames, queries, h, w)`.
        Clips and token ids lie ready before it is called.
    """
    tokens = predictor.vocabulary.encode(queries)
    call = tf.function(
        lambda clip, ids: tf.sigmoid(
            predictor.model({"frames": clip, "tokens": ids}, training=False)[
                "mask_logits"
            ]
        )
    )
    count = len(frames)
    clips = [
        tf.constant(
            frames[np.array(schema.clip_frame_numbers(n, count)) - 1][None]
        )
        for n in range(1, count + 1)
    ]

    def run():
        return np.stack(
            [
                [
                    call(clip, tokens[i : i + 1]).numpy()[0, ..., 0]
                    for i in range(len(queries))
                ]
                for clip in clips
            ]
        )

    return run


def measure_speed():
    """Prints frames/s of the plain way and of ours, taken in turn."""
    predictor, queries = network(), sentences()
    rng = np.random.default_rng(1)
    shape = (FLAGS.frames, FLAGS.height, FLAGS.width, 3)
    frames = rng.integers(0, 255, shape, np.uint8)
    plain = plain_way(predictor, frames, queries)

    def ours(compute_every=1):
        stream = predictor.stream(frames, queries, compute_every=compute_every)
        return np.stack([found.probabilities for found in stream])

    ways = {"plain": plain, "segment": ours}
    for k in FLAGS.compute_every:
        ways[f"compute_every={k}"] = lambda k=int(k): ours(k)
    found = {name: way() for name, way in ways.items()}
    seconds = {name: [] for name in ways}
    for _ in range(FLAGS.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    print(
        f"{FLAGS.frames} frames, {FLAGS.queries} sentences, "
        f"{FLAGS.height} x {FLAGS.width}, width {FLAGS.channels:g}, decoder "
        f"{FLAGS.decoder_channels}, {FLAGS.spatial_backbone}, CMAM in stages "
        f"{','.join(FLAGS.cmam_stages)}, medians of {FLAGS.rounds} rounds"
    )
    print(f"{'way':18}{'frames/s':>10}{'ratio':>8}{'largest difference':>21}")
    base = statistics.median(seconds["plain"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        difference = np.abs(found[name] - found["plain"]).max()
        print(
            f"{name:18}{FLAGS.frames / middle:10.2f}{base / middle:8.2f}"
            f"{difference:21.2e}"
        )


def measure_memory():
    """Prints the peak memory of segment.py on a short and a long video."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run = write_run(folder / "run")
        peaks = {}
        for seconds in (10, FLAGS.seconds):
            video = write_video(folder / f"{seconds}.mp4", seconds)
            command = [
                "segment.py",
                "--runtime=tensorflow",
                f"--model={run}",
                f"--video={video}",
                "--query=the red dog",
                "--query=a person on the left",
                "--every=5",
                f"--output={folder / str(seconds)}",
            ]
            done = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    f"--measured={json.dumps(command)}",
                ],
                stdout=subprocess.PIPE,
                check=True,
            )
            peaks[seconds] = int(done.stdout.splitlines()[-1])
            print(f"{seconds:6} s: peak {peaks[seconds] / 2**20:.1f} MiB")
        growth = peaks[FLAGS.seconds] / peaks[10] - 1
        print(f"growth {100 * growth:+.1f} %")


def write_run(folder):
    """A run directory of the untrained network of `network`."""
    predictor = network()
    predictor.vocabulary.save(folder / "vocabulary.txt")
    config = {
        "flags": {"frame_height": FLAGS.height, "frame_width": FLAGS.width},
        "model": predictor.model.get_config(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    arrays = checkpoint.read(variables.model_variables(predictor.model))
    checkpoint.save(
        run_directory.best_path(folder), arrays, {"training_only": []}
    )
    return folder


def write_video(path, seconds, fps=25, height=240, width=320):
    """A square that circles on noise."""
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height)
    )
    background = rng.integers(0, 99, (height, width, 3), np.uint8)
    for i in range(seconds * fps):
        image = background.copy()
        x, y = 60 + 40 * np.cos(i / 20), 40 + 30 * np.sin(i / 20)
        image[int(y) : int(y) + 30, int(x) : int(x) + 30] = (40, 60, 250)
        writer.write(image)
    writer.release()
    return path


def measure_cost():
    """Prints mean IoU and time of each `compute_every`, on records."""
    predictor = load(FLAGS.model)
    index = records.read_index(FLAGS.data, FLAGS.split)
    videos = {}
    for number in range(len(index)):
        record = index.read(number)
        if not fnmatch.fnmatchcase(record.video_id, FLAGS.only):
            continue
        videos.setdefault(record.video_id, []).append(record)
    for k in [1, *map(int, FLAGS.compute_every)]:
        ious, started = [], time.perf_counter()
        for name, annotated in videos.items():
            ious += video_ious(predictor, name, annotated, k)
        seconds = time.perf_counter() - started
        print(
            f"compute_every={k}: mean IoU {100 * np.mean(ious):.2f} of "
            f"{len(ious)} samples, {seconds:.1f} s",
            flush=True,
        )


def video_ious(predictor, name, annotated, compute_every):
    """IoU of every sample of one video, when all its frames are segmented."""
    queries = sorted({q.text for r in annotated for q in r.queries})
    by_number = {r.frame_number: r for r in annotated}
    path = pathlib.Path(FLAGS.videos) / f"{name}.mp4"
    ious = []
    for found in predictor.stream(path, queries, compute_every=compute_every):
        record = by_number.get(found.number)
        for query in record.queries if record else ():
            mask = found.probabilities[queries.index(query.text)] > 0.5
            truth = record.actors[query.actor].mask
            ious.append(
                float(
                    metrics.iou(
                        np.count_nonzero(mask & truth),
                        np.count_nonzero(mask | truth),
                    )
                )
            )
    return ious


def main(_):
    """Measures what the flags ask for."""
    if FLAGS.measured:
        subprocess.run(
            [sys.executable, *json.loads(FLAGS.measured)], check=True
        )
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(usage.ru_maxrss * 1024)
    elif FLAGS.memory:
        measure_memory()
    elif FLAGS.data:
        measure_cost()
    else:
        frame_size.check_size(FLAGS.height, FLAGS.width)
        measure_speed()


if __name__ == "__main__":
    command_line.run(main)
