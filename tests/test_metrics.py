"""Every number of the protocol against an independent derivation."""

import contextlib
import io
import json

import numpy as np
import pytest

from keras_vas import metrics


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


def test_protocol_equals_the_definitions_by_hand(batch):
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


def boundary_by_hand(mask):
    """Pixels whose right, lower or diagonal neighbour differs, as a set."""
    height, width = mask.shape
    return {
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
        )
    }


def contour_by_hand(prediction, truth, radius):
    found, true = boundary_by_hand(prediction), boundary_by_hand(truth)
    if not found or not true:
        return float(not found and not true)
    near = [
        sum(
            any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others)
            for y, x in pixels
        )
        / len(pixels)
        for pixels, others in ((found, true), (true, found))
    ]
    return 2 * near[0] * near[1] / sum(near) if sum(near) else 0.0


def test_region_and_contour_equal_the_definitions():
    rng = np.random.default_rng(3)
    truths, predictions = blobs(6, 40, rng)
    # A diagonal of 170 pixels: the tolerance is ceil(1.36) = 2.
    wide = [(0, 60), (0, 120)]
    seen = set()
    for truth, prediction in zip(truths, predictions, strict=True):
        truth, prediction = np.pad(truth, wide), np.pad(prediction, wide)
        f = metrics.contour_accuracy(prediction, truth)
        assert f == pytest.approx(contour_by_hand(prediction, truth, 2))
        seen.add(round(f, 3))
        j = metrics.region_similarity(prediction, truth)
        a, b = set(np.flatnonzero(truth)), set(np.flatnonzero(prediction))
        assert j == pytest.approx(len(a & b) / len(a | b))
    assert len(seen) > 3


def test_edges_of_region_and_contour():
    none, whole = np.zeros((40, 60), bool), np.ones((40, 60), bool)
    square = none.copy()
    square[10:20, 10:20] = True
    measured = {
        name: (metrics.region_similarity(*x), metrics.contour_accuracy(*x))
        for name, x in {
            "both empty": (none, none),
            "nothing found": (none, square),
            "nothing there": (square, none),
            "equal": (square, square),
            # A mask of the whole frame has no boundary.
            "all is nothing": (whole, none),
            "all for a square": (whole, square),
        }.items()
    }
    assert measured == {
        "both empty": (1, 1),
        "nothing found": (0, 0),
        "nothing there": (0, 0),
        "equal": (1, 1),
        "all is nothing": (0, 1),
        "all for a square": (100 / 2400, 0),
    }


@pytest.mark.parametrize(("shift", "expected"), [(4, 1.0), (5, 0.0)])
def test_tolerance_is_rounded_up(shift, expected):
    """A line of a frame of 300 x 400: 0.008 x 500 = 4 pixels exactly."""
    truth = np.zeros((300, 400), bool)
    truth[:, :100] = True
    prediction = np.zeros_like(truth)
    prediction[:, : 100 + shift] = True
    assert metrics.contour_accuracy(prediction, truth) == expected


def test_masks_of_another_kind_are_refused():
    mask = np.zeros((3, 4), bool)
    for other in (mask.astype(int), mask[0], mask.T):
        with pytest.raises(ValueError, match="bool of one shape"):
            metrics.contour_accuracy(mask, other)
