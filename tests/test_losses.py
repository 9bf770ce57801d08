"""The losses against their formulas, pixel by pixel."""

import math

import numpy as np
import pytest

from keras_vas.losses import KINDS, segmentation_loss


def literal_loss(logits, target, kind, weight):
    total, overlap, area = 0.0, 0.0, 0.0
    for x, y in zip(logits.ravel(), target.ravel(), strict=True):
        p = 1 / (1 + math.exp(-x))
        positive, negative = -math.log(p), -math.log(1 - p)
        if kind == "focal":
            positive, negative = (1 - p) ** 2 * positive, p**2 * negative
        total += weight * y * positive + (1 - y) * negative
        overlap += p * y
        area += p + y
    loss = total / logits.size
    if kind == "bce_dice":
        loss += 1 - (2 * overlap + 1) / (area + 1)
    return loss


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_is_compared_with_the_averaged_mask(kind):
    generator = np.random.default_rng(0)
    mask = (generator.random((2, 8, 8, 1)) > 0.6).astype("float32")
    outputs = {
        "mask_logits": generator.normal(size=(2, 8, 8, 1)),
        "mask_logits_p2": generator.normal(size=(2, 2, 2, 1)),
        "attention_spatial_1": generator.normal(size=(2, 3, 4, 4)),
    }
    outputs = {name: x.astype("float32") for name, x in outputs.items()}
    result = segmentation_loss(outputs, mask, kind=kind, positive_weight=2.5)
    assert result.shape == (2,)
    for sample in range(2):
        coarse = mask[sample].reshape(2, 4, 2, 4).mean((1, 3))
        expected = sum(
            literal_loss(outputs[name][sample], target, kind, 2.5)
            for name, target in (
                ("mask_logits", mask[sample]),
                ("mask_logits_p2", coarse),
            )
        )
        assert float(result[sample]) == pytest.approx(expected, rel=1e-5)


def test_extreme_logits_stay_finite():
    mask = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    outputs = {"mask_logits": np.full((1, 1, 2, 1), 1e4, "float32")}
    for kind in KINDS:
        assert np.isfinite(segmentation_loss(outputs, mask, kind=kind)).all()


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="Received: kind='l2'"):
        segmentation_loss({}, np.zeros((1, 1, 1, 1)), kind="l2")
