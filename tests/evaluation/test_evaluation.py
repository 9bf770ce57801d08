"""The protocol on fabricated records, with a model that reads colours."""

import csv
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import small_records
import tensorflow as tf

from keras_vas import metrics
from keras_vas.data import records
from keras_vas.data.records import schema
from keras_vas.data.records import shard as shard_files
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.evaluation import protocol
from keras_vas.evaluation import report as evaluation_report
from keras_vas.models.cstm.cstm import CSTM

COLOURS = ("red", "green", "blue")
VOCABULARY = Vocabulary([*COLOURS, "actor", "the"])
SIZES = {"a": (64, 96), "b": (90, 60), "c": (77, 131), "d": (64, 64)}


def colour_model(inputs, training):
    """Segments what has the colour of the sentence's first known colour."""
    del training
    frame = tf.cast(inputs["frames"][:, 4], tf.float32) / 255
    channels = tf.one_hot(inputs["tokens"] - 2, 3)
    wanted = tf.reduce_max(channels, axis=1)[:, None, None]
    logits = tf.reduce_sum(frame * (2 * wanted - 1), -1, keepdims=True)
    return {"mask_logits": 8 * logits - 4}


def fabricated(video_id, split):
    """Two discs of a look and a bar, red, green and blue, and 4 sentences."""
    height, width = SIZES[video_id]
    rng = np.random.default_rng(ord(video_id))
    y, x = np.mgrid[:height, :width]
    masks = []
    for i in range(2):
        radius = rng.uniform(8, 12)
        centre = rng.uniform(height * 0.3, height * 0.5), width * (i + 1) / 3
        masks.append(np.hypot(y - centre[0], x - centre[1]) < radius)
    masks.append((y > height - 12) & (x > 10) & (x < width - 20))
    image = np.zeros((height, width, 3), np.uint8)
    for i, mask in enumerate(masks):
        image[mask, i] = 250
    truths = [mask.copy() for mask in masks]
    truths[0] = np.roll(truths[0], 3, axis=1)
    truths.append(np.zeros((height, width), bool))
    looks = ("disc", "disc", "bar", "disc")
    frame = schema.AnnotatedFrame(
        dataset="fabricated",
        video_id=video_id,
        subset=split,
        frame_number=9,
        clip=[image] * 8,
        clip_frame_numbers=list(range(1, 9)),
        height=height,
        width=width,
        actors=tuple(
            schema.Actor(str(i), mask, look)
            for i, (mask, look) in enumerate(zip(truths, looks, strict=True))
        ),
        queries=(
            schema.Query("the red actor", 0),
            schema.Query("the green actor", 1),
            schema.Query("blue actor, 一个", 2),
            schema.Query("the green actor", 2),
        ),
    )
    return shard_files.Conversion([frame])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    small_records.write(folder, fabricated, {"test": list(SIZES)}, shards=2)
    return records.read_index(folder, "test")


def run(index, output, model=colour_model, **arguments):
    arguments = {"height": 64, "width": 96, "batch_size": 3, **arguments}
    return protocol.evaluate(
        model, VOCABULARY, index, output, progress=False, **arguments
    )


@pytest.fixture(scope="module")
def output(index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "new"
    run(index, folder, pictures=3)
    return folder


def rows_of(output):
    with open(output / "samples.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_hand(frame, query, threshold=0.5):
    """The whole way of one sample, in NumPy and OpenCV."""
    image = schema.decode_jpeg(frame.clip[4]).astype(np.float32)
    scale = min(64 / frame.height, 96 / frame.width)
    size = round(frame.width * scale), round(frame.height * scale)
    small = np.round(cv2.resize(image, size))
    top, left = (64 - size[1]) // 2, (96 - size[0]) // 2
    padded = np.zeros((64, 96, 3), np.float32)
    padded[top : top + size[1], left : left + size[0]] = small
    signs = [1 if colour in query.text else -1 for colour in COLOURS]
    probabilities = 1 / (1 + np.exp(4 - 8 * (padded / 255 @ np.array(signs))))
    content = probabilities[top : top + size[1], left : left + size[0]]
    mask = cv2.resize(content, (frame.width, frame.height)) > threshold
    ious = [(mask & a.mask).sum() / (mask | a.mask).sum() for a in frame.actors]
    return mask, ious


def test_every_row_is_what_a_second_derivation_says(index, output):
    rows = rows_of(output)
    assert len(rows) == 16
    resized = 0
    for i, row in enumerate(rows):
        frame = index.read(i // 4)
        query = frame.queries[i % 4]
        mask, ious = by_hand(frame, query)
        target = frame.actors[query.actor]
        assert row["id"] == f"fabricated/{frame.video_id}/00009/{i % 4}"
        assert row["video"] == frame.video_id
        assert row["frame"] == "9"
        assert row["actor"] == target.id
        assert row["query"] == query.text
        near = {"abs": 0.02}  # one rounding of a JPEG pixel at the edge
        assert float(row["iou"]) == pytest.approx(ious[query.actor], **near)
        assert int(row["intersection"]) == pytest.approx(
            (mask & target.mask).sum(), abs=6
        )
        assert int(row["union"]) == pytest.approx(
            (mask | target.mask).sum(), abs=6
        )
        others = [v for j, v in enumerate(ious) if j not in (query.actor, 3)]
        assert float(row["other_iou"]) == pytest.approx(max(others), **near)
        # the fourth actor is not in the picture: the bar has no look-alike
        if query.actor == 2:
            assert row["lookalike_iou"] == ""
        else:
            alike = ious[1 - query.actor]
            assert float(row["lookalike_iou"]) == pytest.approx(alike, **near)
        assert row["chosen"] == ("0" if i % 4 == 3 else "1")
        assert 0.5 < float(row["score"]) <= 1
        resized += (frame.height, frame.width) != (64, 96)
    assert resized == 12


def test_report_is_the_protocol_of_the_rows(index, output):
    rows = rows_of(output)
    report = json.loads((output / "metrics.json").read_text())

    def column(name):
        return [float(row[name] or "nan") for row in rows]

    expected = metrics.protocol(
        column("intersection"),
        column("union"),
        column("score"),
        column("other_iou"),
        column("lookalike_iou"),
    )
    for name, value in expected.items():
        assert report[name] == value, name
    assert report["samples"] == 16
    assert report["choice_samples"] == 16
    assert report["choice_accuracy"] == 0.75
    assert report["lookalike_choice_samples"] == 8
    assert report["lookalike_choice_accuracy"] == 1
    assert report["mean_iou"] == pytest.approx(np.mean(column("iou")))
    assert 0.5 < report["mean_iou"] < 0.8
    assert report["dataset"] == "fabricated"
    assert report["split"] == "test"
    assert report["unknown_word_samples"] == 4
    assert report["corrupt_records"] == 0


@pytest.mark.parametrize("batch_size", [1, 5, 16, 40])
def test_results_do_not_depend_on_the_batch_size(
    index, output, batch_size, tmp_path
):
    report = run(index, tmp_path, batch_size=batch_size)
    assert (tmp_path / "samples.csv").read_bytes() == (
        output / "samples.csv"
    ).read_bytes()
    expected = json.loads((output / "metrics.json").read_text())
    for name in ("seconds", "samples_per_second"):
        report.pop(name), expected.pop(name)
    assert report == expected


REPLICAS = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path += ["tests/helpers", "tests/evaluation"]
import pathlib
import test_evaluation as t
from keras_vas.data import records
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
index = records.read_index(sys.argv[1], "test")
t.run(index, sys.argv[2], strategy=strategy, batch_size=6)
"""


def test_two_devices_equal_one(index, output, tmp_path, repository):
    finished = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(index.directory), str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "samples.csv").read_bytes() == (
        output / "samples.csv"
    ).read_bytes()


def test_pictures_are_written_and_older_ones_go_away(index, output, tmp_path):
    names = sorted(p.name for p in (output / "pictures").iterdir())
    assert names == sorted(
        f"{group}-{rank}.png"
        for group in ("best", "median", "worst")
        for rank in (1, 2, 3)
    )
    for path in (*(output / "pictures").iterdir(), output / "samples.png"):
        image = cv2.imread(str(path))
        assert image.shape[0] > 50
        assert image.shape[1] > 900
    run(index, tmp_path, pictures=2)
    run(index, tmp_path, pictures=1)
    left = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert left == ["best-1.png", "median-1.png", "worst-1.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "metrics.json", "overlay.mp4", "pictures", "samples.csv",
        "samples.png",
    ]  # fmt: skip


def test_the_video_holds_each_clip_at_its_target_frame(output):
    video = cv2.VideoCapture(str(output / "overlay.mp4"))
    images = []
    while True:
        more, image = video.read()
        if not more:
            break
        images.append(image.astype(int))
    assert len(images) > 0
    assert len(images) % 16 == 0
    for start in range(0, len(images), 16):
        held = images[start + 8 : start + 16]
        assert max(np.abs(h - held[0]).mean() for h in held) < 3


def test_the_best_and_the_worst_are_of_different_videos():
    ious = np.array([0.9, 0.8, 0.7, 0.1, 0.5, 0.95, 0.2])
    chosen = evaluation_report.chosen_samples(ious, list("aaabccd"), count=3)
    assert chosen == {
        "best": [5, 0, 6],
        "median": [2, 4, 6],
        "worst": [3, 6, 4],
    }


def empty_model(inputs, training):
    logits = colour_model(inputs, training)["mask_logits"]
    return {"mask_logits": tf.minimum(logits, 0) - 1}


def test_a_model_that_finds_nothing(index, tmp_path):
    report = run(index, tmp_path, empty_model)
    assert report["overall_iou"] == report["mean_iou"] == 0
    assert report["coco_map"] == report["ap"] == 0
    assert report["choice_accuracy"] == 0
    assert report["mean_iou_chosen"] is None
    assert all(0 < float(r["score"]) <= 0.5 for r in rows_of(tmp_path))
    assert "0.0 %" in evaluation_report.table(report, CSTM)


def corrupted(index, tmp_path):
    for path in index.directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = tmp_path / os.path.basename(index.paths[1])
    data = bytearray(shard.read_bytes())
    data[index.offsets[1] + 500] ^= 255
    shard.write_bytes(data)
    return index.keys[1]


def test_a_corrupt_record_is_named_and_what_stood_there_stays(index, tmp_path):
    (tmp_path / "records").mkdir()
    key = corrupted(index, tmp_path / "records")
    run(index, tmp_path / "out")
    before = (tmp_path / "out" / "samples.csv").read_bytes()
    broken = records.read_index(tmp_path / "records", "test")
    with pytest.raises(UserError, match=rf"{key}.*--skip_corrupt"):
        run(broken, tmp_path / "out")
    assert (tmp_path / "out" / "samples.csv").read_bytes() == before
    assert (tmp_path / "out" / "metrics.json").exists()
    rest = records.read_index(tmp_path / "records", "test", skip_corrupt=True)
    report = run(rest, tmp_path / "out")
    assert report["samples"] == 12
    assert report["corrupt_records"] == 1


@pytest.mark.parametrize(
    "name",
    ["metrics.json", "samples.csv", "samples.png", "pictures/best-1.png"],
)
def test_files_of_another_origin_are_not_overwritten(index, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"mine": 1}')
    with pytest.raises(UserError, match=f"{path.name} was not written"):
        run(index, tmp_path)
    assert path.read_text() == '{"mine": 1}'


def test_other_files_in_the_folder_are_left_alone(index, tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("config.json", "pictures/cat.png"):
        (tmp_path / name).write_text("mine")
    run(index, tmp_path)
    run(index, tmp_path)
    for name in ("config.json", "pictures/cat.png"):
        assert (tmp_path / name).read_text() == "mine"


def test_results_of_a_killed_evaluation_are_replaced(index, tmp_path):
    run(index, tmp_path)
    (tmp_path / "metrics.json").unlink()
    run(index, tmp_path)
    assert (tmp_path / "metrics.json").exists()


def test_output_that_is_a_file(index, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="not a folder"):
        run(index, tmp_path / "file")


def test_sizes_that_do_not_fit_are_refused(index, tmp_path):
    with pytest.raises(ValueError, match="width=100"):
        run(index, tmp_path, width=100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threshold", [0.02, 0.9])
def test_the_calibrated_threshold_is_counted_in_the_same_pass(
    index, output, tmp_path, threshold
):
    calls = []

    def counted(inputs, training):
        calls.append(tf.shape(inputs["tokens"])[0])
        return colour_model(inputs, training)

    found = run(index, tmp_path, counted, threshold=threshold)
    assert len(calls) == 1  # traced once
    at = found["calibrated"]
    ious, sizes = [], np.zeros(2)
    for i in range(16):
        frame = index.read(i // 4)
        query = frame.queries[i % 4]
        mask, all_ious = by_hand(frame, query, threshold)
        truth = frame.actors[query.actor].mask
        ious.append(all_ious[query.actor])
        sizes += (mask & truth).sum(), (mask | truth).sum()
    assert at["threshold"] == threshold
    assert at["mean_iou"] == pytest.approx(np.mean(ious), abs=5e-3)
    assert at["overall_iou"] == pytest.approx(sizes[0] / sizes[1], abs=5e-3)
    assert abs(at["mean_iou"] - found["mean_iou"]) > 0.01
    # What stands at 0.5 is the same to the last bit.
    before = json.loads((output / "metrics.json").read_text())
    assert before.pop("calibrated") is None
    timed = {"seconds", "samples_per_second"}
    assert {k: v for k, v in found.items() if k in before.keys() - timed} == {
        k: v for k, v in before.items() if k not in timed
    }
    assert rows_of(tmp_path) == rows_of(output)
    lines = evaluation_report.table(found, CSTM).splitlines()
    assert lines[3].split()[:4] == ["this", "run", ">", str(threshold)]
    assert lines[3].split()[-2] == f"{100 * at['mean_iou']:.1f}"
    assert "calibrated" in lines[0]
    assert f"calibrated {100 * at['choice_accuracy']:.1f} %" in lines[4]


def report_of(dataset, split="test"):
    nothing = [float("nan")] * 3
    return {
        "dataset": dataset,
        "split": split,
        **metrics.protocol([9, 5, 0], [10, 10, 8], [1, 2, 3], nothing, nothing),
    }


@pytest.mark.parametrize(
    ("dataset", "first", "last"),
    [("a2d_sentences", "65.4", "56.1"), ("jhmdb_sentences", "78.3", "60.4")],
)
def test_table_has_the_papers_row_below_ours(dataset, first, last):
    lines = evaluation_report.table(report_of(dataset), CSTM).splitlines()
    assert lines[1].split()[:6] == [
        "P@0.5", "P@0.6", "P@0.7", "P@0.8", "P@0.9", "AP",
    ]  # fmt: skip
    assert lines[2].split()[2] == "66.7"
    paper = lines[3].split()[3:]
    assert (paper[0], paper[-2]) == (first, last)
    assert len({len(line) for line in lines[1:]}) == 1
    assert len(lines) == 4


def test_table_compares_nothing_else_with_the_paper():
    for dataset, split in (
        ("moving_actors", "test"),
        ("a2d_sentences", "train"),
    ):
        report = report_of(dataset, split)
        assert "paper" not in evaluation_report.table(report, CSTM)


def test_masks_come_back_from_their_file():
    with evaluation_report.MaskFile() as masks:
        rng = np.random.default_rng(0)
        many = rng.random((20, 31, 17)) > 0.5
        for mask in many:
            masks.append(mask)
        for i in (19, 0, 7):
            assert np.array_equal(masks[i], many[i])
