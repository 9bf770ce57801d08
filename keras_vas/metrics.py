"""What is measured: IoU, precision, the paper's AP, COCO mAP, actor choice;
J and F of whole videos.

The evaluation protocol in NumPy. The functions take per-sample areas, so they
hold for any mix of video sizes and know nothing of batches.

An IoU whose union is empty (no truth and no prediction) is 1: nothing was
asked for and nothing was claimed. COCO counts it as a miss, and `coco_map`
follows COCO.
"""

import functools
import math

import cv2
import numpy as np
from numpy.typing import ArrayLike

THRESHOLD = 0.5  # of the probability of a pixel that belongs to a mask
PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
AP_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
BOUNDARY_TOLERANCE = 0.008  # of a frame's diagonal


def iou(intersection: ArrayLike, union: ArrayLike) -> np.ndarray:
    """IoU of each sample, float64; 1 where the union is empty.

    Args:
        intersection: array of pixel counts.
        union: array of pixel counts, the same shape.
    """
    intersection = np.asarray(intersection, np.float64)
    union = np.asarray(union, np.float64)
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def overall_iou(intersection: ArrayLike, union: ArrayLike) -> float:
    """Sum of the intersections over the sum of the unions."""
    return float(iou(np.sum(intersection), np.sum(union)))


def precision_at(ious: ArrayLike, threshold: float) -> float:
    """Share of the samples with IoU >= threshold."""
    return float(np.mean(np.asarray(ious) >= threshold))


def average_precision(ious: ArrayLike) -> float:
    """The paper's AP: mean precision at .50, .55, ..., .95.

    No ranking and no recall enter; COCO's number of the same name is
    `coco_map`.
    """
    return float(np.mean([precision_at(ious, x) for x in AP_THRESHOLDS]))


def coco_map(
    intersection: ArrayLike, union: ArrayLike, scores: ArrayLike
) -> float:
    """COCO's mAP@[.50:.95], area "all", one category.

    Every sample is an image of its own with one true mask and one predicted
    mask. Predictions are ranked by score (ties in the order given), precision
    is made non-increasing and read at 101 recalls. An empty prediction is a
    detection like any other: a false positive.

    Args:
        intersection: `(samples,)` pixel counts.
        union: `(samples,)` pixel counts.
        scores: `(samples,)` confidence of each prediction.

    Returns:
        float in [0, 1].
    """
    union = np.asarray(union, np.float64)
    ious = np.asarray(intersection, np.float64) / np.maximum(union, 1)
    ious = ious[np.argsort(-np.asarray(scores), kind="stable")]
    ranks = np.arange(1, len(ious) + 1)
    recalls = np.linspace(0.0, 1.0, 101)
    areas = []
    for threshold in np.linspace(0.5, 0.95, 10):
        hits = np.cumsum(ious >= threshold)
        precision = np.maximum.accumulate((hits / ranks)[::-1])[::-1]
        first = np.searchsorted(hits / len(ious), recalls, side="left")
        areas.append(np.append(precision, 0.0)[first])
    return float(np.mean(areas))


def choice_accuracy(
    target_iou: ArrayLike, other_iou: ArrayLike
) -> tuple[float | None, int]:
    """How often the prediction fits its target better than any rival.

    A choice is right if the IoU with the target is strictly above the best
    IoU with another actor of the frame.

    Args:
        target_iou: `(samples,)` IoU of prediction and target.
        other_iou: `(samples,)` best IoU of the prediction with another actor,
            NaN where the frame has no other.

    Returns:
        `(accuracy, count)`: over the `count` samples that have another
        actor; accuracy is `None` when there is none.
    """
    chosen, counted = _choices(target_iou, other_iou)
    count = int(np.sum(counted))
    return (float(np.sum(chosen) / count) if count else None), count


def mean_iou_chosen(
    target_iou: ArrayLike, other_iou: ArrayLike
) -> float | None:
    """Mean IoU among the right choices, `None` if there is none.

    Args: as for `choice_accuracy`.
    """
    chosen, _ = _choices(target_iou, other_iou)
    return (
        float(np.mean(np.asarray(target_iou)[chosen])) if any(chosen) else None
    )


def _choices(target_iou, other_iou):
    target_iou = np.asarray(target_iou, np.float64)
    other_iou = np.asarray(other_iou, np.float64)
    counted = ~np.isnan(other_iou)
    return counted & (target_iou > np.where(counted, other_iou, 0)), counted


def protocol(
    intersection: np.ndarray,
    union: np.ndarray,
    scores: np.ndarray,
    other_iou: np.ndarray,
    lookalike_iou: np.ndarray,
) -> dict[str, float | int | None]:
    """Every number of the evaluation protocol, from per-sample columns.

    Args:
        intersection: `(samples,)` pixels shared by truth and prediction.
        union: `(samples,)` pixels in either.
        scores: `(samples,)` confidence of the prediction.
        other_iou: `(samples,)` best IoU of the prediction with another actor
            of the frame, NaN without one.
        lookalike_iou: the same with the actors that look like the target.

    Returns:
        dict of floats and ints; `None` stands for "no such samples".

    Raises:
        ValueError: there is no sample.
    """
    if len(intersection) == 0:
        raise ValueError("The protocol needs a sample. Received: 0 samples")
    ious = iou(intersection, union)
    accuracy, count = choice_accuracy(ious, other_iou)
    lookalike_accuracy, lookalikes = choice_accuracy(ious, lookalike_iou)
    return {
        "samples": len(ious),
        "overall_iou": overall_iou(intersection, union),
        "mean_iou": float(np.mean(ious)),
        "precision_at": {
            str(x): precision_at(ious, x) for x in PRECISION_THRESHOLDS
        },
        "ap": average_precision(ious),
        "coco_map": coco_map(intersection, union, scores),
        "choice_accuracy": accuracy,
        "choice_samples": count,
        "lookalike_choice_accuracy": lookalike_accuracy,
        "lookalike_choice_samples": lookalikes,
        "mean_iou_chosen": mean_iou_chosen(ious, other_iou),
    }


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """J of one frame: the IoU of two masks, 1 where both are empty.

    Args:
        prediction: bool array `(height, width)`.
        truth: likewise.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: the arrays are not bool `(height, width)` of one size.

    Reference: Perazzi et al., CVPR 2016, as DAVIS 2017's evaluation has it.
    """
    _check_masks(prediction, truth)
    return float(iou(np.sum(prediction & truth), np.sum(prediction | truth)))


def contour_accuracy(prediction: np.ndarray, truth: np.ndarray) -> float:
    """F of one frame: the F-measure of the boundaries of two masks.

    A boundary's pixel is right if one of the other boundary lies within a
    disk of radius ceil(0.008 x diagonal) pixels. F is 1 where neither mask
    has a boundary, and 0 where one alone has; the last row and column of a
    frame are no boundary, so that a mask of the whole frame has none.

    Args: as for `region_similarity`.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: as of `region_similarity`.

    Reference: as of `region_similarity`.
    """
    _check_masks(prediction, truth)
    found, true = _boundary(prediction), _boundary(truth)
    counts = np.sum(found), np.sum(true)
    if not all(counts):
        return 0.0 if any(counts) else 1.0
    disk = _disk(math.ceil(BOUNDARY_TOLERANCE * math.hypot(*truth.shape)))
    precision = np.sum(found & cv2.dilate(true, disk)) / counts[0]
    recall = np.sum(true & cv2.dilate(found, disk)) / counts[1]
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


def _check_masks(prediction, truth):
    if not (
        prediction.dtype == truth.dtype == bool
        and prediction.ndim == truth.ndim == 2
        and prediction.shape == truth.shape
    ):
        raise ValueError(
            "Masks must be bool of one shape (height, width). Received: "
            f"prediction={prediction.dtype} {prediction.shape}, "
            f"truth={truth.dtype} {truth.shape}"
        )


def _boundary(mask):
    """uint8, 1 where the pixel to the right, below or diagonal differs."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below = padded[:-1, 1:], padded[1:, :-1]
    differs = (mask ^ right) | (mask ^ below) | (mask ^ padded[1:, 1:])
    return differs.astype(np.uint8)


@functools.cache
def _disk(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)
