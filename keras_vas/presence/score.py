"""How sure the model is that the actor of a sentence is in the clip at all.

    mean     = sum of p^2 / sum of p, over the cells' probabilities p
    evidence = log(mean / (1 - mean))
    score    = sigmoid(slope * evidence + offset)

The mean is that of the probabilities within the mask, each cell counting as
much as it belongs to it: a crisp mask has 1, whether it is large or small, a
vague one less. Slope and offset are fitted to queries about actors that are
there and about actors that are not, so that of the clips with score s, a
share of s has the actor. `presence.json` in a run directory holds them.

The score says nothing about the quality of the mask, and it is not the score
by which evaluation ranks masks.
"""

import dataclasses
import hashlib
import json
import pathlib

import keras
import numpy as np
from keras import ops

from keras_vas import files, packed_files
from keras_vas.errors import UserError
from keras_vas.metrics import THRESHOLD

FILE = "presence.json"
UNCALIBRATED = "uncalibrated"
_DIGEST = "sha256"
_BINS = 10
_LIMIT = 1e-6
_RIDGE = 1e-3
_STEPS = 100


def evidence(mask_logits):
    """What one mask says about the presence of its actor.

    Args:
        mask_logits: float tensor `(batch, height, width, 1)` at the network's
            size, padding included.

    Returns:
        float32 tensor `(batch,)`, in logits, within +-13.8.
    """
    p = ops.sigmoid(ops.cast(mask_logits, "float32"))
    axes = (1, 2, 3)
    total = ops.maximum(ops.sum(p, axes), keras.config.epsilon())
    mean = ops.clip(ops.sum(p * p, axes) / total, _LIMIT, 1 - _LIMIT)
    return ops.log(mean / (1 - mean))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """From evidence to score; by default not calibrated.

    Attributes:
        slope: factor of the evidence.
        offset: what is added, in logits.
        source: `"uncalibrated"`, or what the two were fitted to.
        metrics: dict of what was measured on queries that were not fitted.
        threshold: what a pixel's probability must exceed to belong to a mask,
            chosen for the mean IoU on the same videos.
    """

    slope: float = 1.0
    offset: float = 0.0
    source: str = UNCALIBRATED
    metrics: dict = dataclasses.field(default_factory=dict)
    threshold: float = THRESHOLD

    @property
    def calibrated(self):
        """Whether it was fitted to anything."""
        return self.source != UNCALIBRATED

    def score(self, evidence):
        """Probability that the actor is there, of any array or tensor."""
        return ops.sigmoid(self.slope * evidence + self.offset)

    def save(self, path):
        """Writes a JSON file, or `presence.json` in a run directory."""
        content = dataclasses.asdict(self)
        files.write_json(_file(path), {**content, _DIGEST: _digest(content)})

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote; without a file, the default.

        Raises:
            UserError: the file is damaged.
        """
        path = _file(path)
        if not path.exists():
            return cls()
        try:
            packed_files.check_regular(path)
            return cls.from_json(path.read_text())
        except ValueError as error:
            raise UserError(
                f"{path} is no calibration ({error}); remove it, or calibrate "
                "again with export.py --data"
            ) from error

    @classmethod
    def from_json(cls, text):
        """The calibration in a JSON text; a ValueError if there is none."""
        try:
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError("It is no dict")
            if content.pop(_DIGEST, None) not in (None, _digest(content)):
                raise ValueError("It was edited or is damaged")
            found = cls(**content)
            numbers = float(found.slope), float(found.offset)
        except TypeError as error:
            raise ValueError(f"It has other fields: {error}") from error
        if not np.isfinite(numbers).all():
            raise ValueError(f"Slope and offset must be finite: {numbers}")
        if not 0 < found.threshold < 1:
            raise ValueError(f"No threshold of masks: {found.threshold}")
        return found


def fit(evidence, present, source="logistic regression"):
    """Fits slope and offset by logistic regression (Newton's method).

    A weak penalty on the squared slope, 0.001 in all, keeps it finite where
    the evidence separates the two kinds completely.

    Args:
        evidence: float array `(queries,)`.
        present: bool array `(queries,)`, whether the actor is there.
        source: what the queries are, for the file.

    Returns:
        `Calibration` without metrics.

    Raises:
        UserError: only one kind of query, or evidence that is not finite.
    """
    evidence = np.asarray(evidence, np.float64)
    present = np.asarray(present, bool)
    if present.all() or not present.any():
        raise UserError(
            f"{int(present.sum())} of {len(present)} queries are about actors "
            "that are there; a calibration needs both kinds, so give --data "
            "with more videos"
        )
    if not np.isfinite(evidence).all():
        raise UserError(
            "the model gives masks that are not finite; train it again"
        )
    centre, scale = evidence.mean(), evidence.std() or 1.0
    design = np.stack(
        [(evidence - centre) / scale, np.ones(len(evidence))], axis=1
    )
    penalty = np.diag([_RIDGE, 0.0])
    weights = np.zeros(2)
    objective = _objective(design, present, weights)
    for _ in range(_STEPS):
        probability = _sigmoid(design @ weights)
        gradient = design.T @ (probability - present) + penalty @ weights
        curvature = probability * (1 - probability)
        hessian = design.T @ (design * curvature[:, None]) + penalty
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        while (
            changed := _objective(design, present, weights - step)
        ) > objective and np.abs(step).max() > 1e-12:
            step /= 2
        weights, objective = weights - step, changed
        if np.abs(step).max() < 1e-10:
            break
    slope = weights[0] / scale
    return Calibration(float(slope), float(weights[1] - slope * centre), source)


def measure(scores, present):
    """How good scores are on queries whose answer is known.

    Args:
        scores: float array `(queries,)`, probabilities.
        present: bool array `(queries,)`.

    Returns:
        Dict of `queries`, `present` (how many), `auc` (chance that a present
        actor's score exceeds an absent one's, ties counting half), `brier`
        (mean squared error) and `calibration_error` (expected, ten bins of
        equal width). NaN is `None`.
    """
    scores = np.asarray(scores, np.float64)
    present = np.asarray(present, bool)
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(np.sum(scores[bins == b]) - np.sum(present[bins == b]))
        for b in range(_BINS)
    ]
    return {
        "queries": len(scores),
        "present": int(present.sum()),
        "auc": _auc(scores[present], scores[~present]),
        "brier": float(np.mean((scores - present) ** 2)),
        "calibration_error": float(np.sum(gaps) / len(scores)),
    }


def _auc(positive, negative):
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float(np.mean(below + not_above) / (2 * len(negative)))


def _objective(design, present, weights):
    logits = design @ weights
    loss = np.logaddexp(0, logits).sum() - logits[present].sum()
    return loss + _RIDGE / 2 * weights[0] ** 2


def _sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def _digest(content):
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _file(path):
    path = pathlib.Path(path)
    return path if path.suffix == ".json" else path / FILE
