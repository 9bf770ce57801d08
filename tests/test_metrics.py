"""Every number of the protocol against an independent derivation."""

import contextlib
import io
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_vas import metrics

REPLICAS = """
import json, sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_vas.metrics import SegmentationIoU
data = np.load(sys.argv[1])
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    metric = SegmentationIoU()

def per_replica(name):
    return strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(
            np.array_split(data[name], 2)[c.replica_id_in_sync_group]))

@tf.function
def step(*batch):
    strategy.run(metric.update_state, args=batch)

step(per_replica("mask"), per_replica("logits"), per_replica("weight"))
assert strategy.num_replicas_in_sync == 2
print(json.dumps({k: float(v) for k, v in metric.result().items()}))
"""

JAX = """
import json, sys
import numpy as np
from keras_vas.metrics import SegmentationIoU
data = np.load(sys.argv[1])
metric = SegmentationIoU()
metric.update_state(data["mask"], data["logits"], data["weight"])
assert "tensorflow" not in sys.modules
print(json.dumps({k: float(v) for k, v in metric.result().items()}))
"""


def blobs(count, size, rng, noise=0.15):
    """Pairs of truth and prediction whose IoUs spread over [0, 1]."""
    y, x = np.mgrid[:size, :size]
    pairs = []
    for _ in range(count):
        centre = rng.uniform(size * 0.3, size * 0.7, 2)
        radius = rng.uniform(size * 0.15, size * 0.3)
        shift = rng.normal(0, size * noise, 2) * rng.random()
        pairs.append(
            [
                np.hypot(y - c[0], x - c[1]) < radius
                for c in (centre, centre + shift)
            ]
        )
    return np.array(pairs)[:, 0], np.array(pairs)[:, 1]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    truth, prediction = blobs(24, 32, rng)
    truth[3] = prediction[3] = False
    prediction[4] = False
    truth[5] = False
    logits = np.where(prediction, 1.0, -1.0) * rng.random(truth.shape)
    weight = np.ones(24)
    weight[-5:] = 0
    return {
        "mask": truth[..., None].astype("float32"),
        "logits": logits[..., None].astype("float32"),
        "weight": weight.astype("float32"),
    }


def by_hand(mask, logits, weight):
    """The definitions, sample by sample with Python sets."""
    intersections, unions, ious = [], [], []
    for m, z, w in zip(mask, logits, weight, strict=True):
        if w:
            a = set(np.flatnonzero(m > 0.5))
            b = set(np.flatnonzero(1 / (1 + np.exp(-z)) > 0.5))
            intersections.append(len(a & b))
            unions.append(len(a | b))
            ious.append(len(a & b) / len(a | b) if a | b else 1.0)
    expected = {
        "overall_iou": sum(intersections) / sum(unions),
        "mean_iou": sum(ious) / len(ious),
    }
    for k in (50, 60, 70, 80, 90):
        expected[f"precision_at_{k / 100}"] = sum(
            i >= k / 100 for i in ious
        ) / len(ious)
    expected["ap"] = sum(
        i >= k / 100 for i in ious for k in range(50, 100, 5)
    ) / (10 * len(ious))
    return expected


def assert_close(result, expected):
    assert set(result) == set(expected)
    for name, value in expected.items():
        assert float(result[name]) == pytest.approx(value, abs=1e-6), name


def test_metric_equals_the_definitions(batch):
    metric = metrics.SegmentationIoU()
    metric.update_state(batch["mask"], batch["logits"], batch["weight"])
    expected = by_hand(**batch)
    assert 0.2 < expected["ap"] < 0.8
    assert_close(metric.result(), expected)


@pytest.mark.parametrize("size", [1, 5, 24])
def test_metric_does_not_depend_on_the_batch_size(batch, size):
    metric = metrics.SegmentationIoU()
    for i in range(0, 24, size):
        metric.update_state(*(v[i : i + size] for v in batch.values()))
    assert_close(metric.result(), by_hand(**batch))


def test_metric_without_weights_and_after_reset(batch):
    metric = metrics.SegmentationIoU()
    metric.update_state(batch["mask"], -batch["logits"])
    metric.reset_state()
    assert all(float(v) == 0 for v in metric.result().values())
    metric.update_state(batch["mask"], batch["logits"])
    assert_close(
        metric.result(),
        by_hand(batch["mask"], batch["logits"], np.ones(24)),
    )


def test_metric_counts_an_iou_at_the_threshold():
    mask = np.ones((10, 1, 100, 1))
    logits = np.ones_like(mask)
    for row, k in enumerate(range(50, 100, 5)):
        logits[row, :, k:] = -1
    metric = metrics.SegmentationIoU()
    metric.update_state(mask, logits)
    result = metric.result()
    assert float(result["ap"]) == pytest.approx(0.55)
    for hits, x in zip(
        (10, 8, 6, 4, 2), (0.5, 0.6, 0.7, 0.8, 0.9), strict=True
    ):
        assert float(result[f"precision_at_{x}"]) == pytest.approx(hits / 10)


def test_metric_keeps_its_precision_over_an_epoch_of_large_masks():
    metric = metrics.SegmentationIoU()
    mask = np.ones((1, 320, 320, 1), "float32")
    logits = np.ones_like(mask)
    logits[:, :107] = -1
    for _ in range(400):
        metric.update_state(mask, logits, [10.0])
    assert float(metric.result()["overall_iou"]) == pytest.approx(
        213 / 320, rel=1e-5
    )


def test_metric_recreates_from_its_config():
    metric = metrics.SegmentationIoU(name="iou")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(again, metrics.SegmentationIoU)
    assert again.name == "iou"


def test_metric_names_both_shapes_when_they_differ():
    metric = metrics.SegmentationIoU()
    with pytest.raises(ValueError, match=r"Received: .*\(1, 4, 4, 1\)"):
        metric.update_state(np.ones((1, 4, 4, 1)), np.ones((1, 2, 2, 1)))


@pytest.mark.parametrize(
    ("program", "backend"), [(REPLICAS, "tensorflow"), (JAX, "jax")]
)
def test_metric_on_two_replicas_and_on_jax(
    batch, program, backend, tmp_path, repository
):
    np.savez(tmp_path / "batch.npz", **batch)
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "batch.npz")],
        capture_output=True,
        text=True,
        cwd=repository,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert finished.returncode == 0, finished.stderr
    assert_close(json.loads(finished.stdout.splitlines()[-1]), by_hand(**batch))


def columns(count=60, size=40, seed=1):
    rng = np.random.default_rng(seed)
    truth, prediction = blobs(count, size, rng)
    prediction[[7, 20]] = False
    scores = np.round(rng.random(count), 2)  # some ties
    intersection = np.sum(truth & prediction, axis=(1, 2))
    union = np.sum(truth | prediction, axis=(1, 2))
    return truth, prediction, scores, intersection, union


def coco_referee(truth, prediction, scores):
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def encoded(mask):
        return rle.encode(np.asfortranarray(mask, np.uint8))

    images, annotations, results = [], [], []
    for i, (t, p) in enumerate(zip(truth, prediction, strict=True), 1):
        images.append({"id": i, "height": t.shape[0], "width": t.shape[1]})
        common = {"image_id": i, "category_id": 1}
        annotations.append(
            {
                **common,
                "id": i,
                "segmentation": encoded(t),
                "area": float(t.sum()),
                "bbox": [float(v) for v in rle.toBbox(encoded(t))],
                "iscrowd": 0,
            }
        )
        results.append(
            {
                **common,
                "segmentation": encoded(p),
                "score": float(scores[i - 1]),
            }
        )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "actor"}],
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[0]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("count", [1, 7, 60])
def test_coco_map_equals_pycocotools(seed, count):
    data = [column[:count] for column in columns(60, 40, seed)]
    truth, prediction, scores, intersection, union = data
    expected = coco_referee(truth, prediction, scores)
    if count == 60:
        assert 0.05 < expected < 0.9
    assert metrics.coco_map(intersection, union, scores) == pytest.approx(
        expected, abs=1e-12
    )


def test_coco_map_of_exact_thresholds_and_empty_masks():
    # IoUs of exactly .5, .6, ... and both sorts of emptiness
    truth = np.zeros((7, 1, 100), bool)
    prediction = truth.copy()
    truth[:6] = True
    for row, width in enumerate((50, 60, 65, 90, 95)):
        prediction[row, 0, :width] = True
    scores = np.linspace(1, 0.4, 7)
    expected = coco_referee(truth, prediction, scores)
    assert 0 < expected < 1
    got = metrics.coco_map(
        np.sum(truth & prediction, axis=(1, 2)),
        np.sum(truth | prediction, axis=(1, 2)),
        scores,
    )
    assert got == pytest.approx(expected, abs=1e-12)


def test_coco_map_rewards_ranking_where_the_papers_ap_does_not():
    union = np.full(4, 100)
    intersection = np.array([100, 100, 0, 0])
    good = metrics.coco_map(intersection, union, [0.9, 0.8, 0.2, 0.1])
    poor = metrics.coco_map(intersection, union, [0.1, 0.2, 0.8, 0.9])
    assert good == pytest.approx(51 / 101)
    # the envelope of precision is 1/2 up to a recall of 1/2
    assert poor == pytest.approx(0.5 * 51 / 101)
    ious = metrics.iou(intersection, union)
    assert metrics.average_precision(ious) == 0.5


def test_iou_of_an_empty_union_is_one():
    assert metrics.iou([0, 0, 1], [0, 4, 4]).tolist() == [1, 0, 0.25]


def test_precision_counts_an_iou_at_the_threshold():
    ious = metrics.iou([50, 60, 70, 80, 90, 49], [100] * 6)
    got = [metrics.precision_at(ious, x) for x in metrics.PRECISION_THRESHOLDS]
    assert got == [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]


def test_choice_needs_to_be_strictly_better_than_every_other_actor():
    target = np.array([0.5, 0.5, 0.4, 0.9, 0.0, 0.8])
    other = np.array([0.4, 0.5, 0.6, np.nan, 0.0, 0.1])
    assert metrics.choice_accuracy(target, other) == (2 / 5, 5)
    assert metrics.mean_iou_chosen(target, other) == pytest.approx(0.65)


def test_choice_without_other_actors_is_no_number():
    alone = np.array([np.nan, np.nan])
    assert metrics.choice_accuracy([0.5, 1.0], alone) == (None, 0)
    assert metrics.mean_iou_chosen([0.5, 1.0], alone) is None


def test_protocol_agrees_with_the_training_metric(batch):
    truth = batch["mask"][..., 0] > 0.5
    prediction = batch["logits"][..., 0] > 0
    counted = batch["weight"] > 0
    truth, prediction = truth[counted], prediction[counted]
    count = len(truth)
    report = metrics.protocol(
        np.sum(truth & prediction, axis=(1, 2)),
        np.sum(truth | prediction, axis=(1, 2)),
        np.ones(count),
        np.full(count, np.nan),
        np.full(count, np.nan),
    )
    expected = by_hand(**batch)
    assert report["samples"] == count == 19
    assert report["overall_iou"] == pytest.approx(expected["overall_iou"])
    assert report["mean_iou"] == pytest.approx(expected["mean_iou"])
    assert report["ap"] == pytest.approx(expected["ap"])
    assert list(report["precision_at"]) == ["0.5", "0.6", "0.7", "0.8", "0.9"]
    for x, value in report["precision_at"].items():
        assert value == pytest.approx(expected[f"precision_at_{x}"])
    assert report["choice_accuracy"] is None
    json.dumps(report)


def test_protocol_refuses_no_samples():
    with pytest.raises(ValueError, match="0 samples"):
        metrics.protocol([], [], [], [], [])
