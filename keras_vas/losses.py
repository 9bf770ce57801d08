"""Losses of predicted masks, summed over the decoder's stages."""

from typing import Literal

from keras import ops

KINDS = ("bce", "bce_dice", "focal")
FOCAL_GAMMA = 2.0


def segmentation_loss(
    outputs: dict,
    mask,
    *,
    kind: Literal[*KINDS] = "bce_dice",
    positive_weight: float = 1.5,
):
    """Loss of a batch of masks, summed over all mask heads.

    A head at stride s is compared with the mask averaged over s x s cells.
    With p = sigmoid(logit), y the (averaged) mask, w the positive weight:

        bce       mean of -[w y log p + (1 - y) log(1 - p)]
        focal     mean of -[w y (1-p)^2 log p + (1 - y) p^2 log(1 - p)]
        bce_dice  bce + 1 - (2 sum p y + 1) / (sum p + sum y + 1)

    The paper leaves the loss to its supplement; weighted BCE on every head
    is what its authors' options show.

    Args:
        outputs: dict of a `SegmentationModel`'s logits: `mask_logits` and,
            with deep supervision, `mask_logits_p{i}` at stride 2^i.
        mask: float `(batch, height, width, 1)`, 0 or 1.
        kind: `"bce"`, `"bce_dice"` or `"focal"`.
        positive_weight: w.

    Returns:
        float32 `(batch,)`: the loss of each sample.
    """
    if kind not in KINDS:
        raise ValueError(
            f"kind must be one of {KINDS}. Received: kind={kind!r}"
        )
    total = 0.0
    for name, logits in outputs.items():
        if name == "mask_logits":
            target = mask
        elif name.startswith("mask_logits_p"):
            stride = 2 ** int(name.removeprefix("mask_logits_p"))
            target = ops.average_pool(mask, stride, strides=stride)
        else:
            continue
        total = total + _mask_loss(logits, target, kind, positive_weight)
    return total


def _mask_loss(logits, target, kind, positive_weight):
    logits = ops.cast(logits, "float32")
    target = ops.cast(target, "float32")
    positive = positive_weight * target * ops.softplus(-logits)
    negative = (1.0 - target) * ops.softplus(logits)
    if kind == "focal":
        probability = ops.sigmoid(logits)
        positive = positive * (1.0 - probability) ** FOCAL_GAMMA
        negative = negative * probability**FOCAL_GAMMA
    loss = ops.mean(positive + negative, axis=(1, 2, 3))
    if kind == "bce_dice":
        probability = ops.sigmoid(logits)
        overlap = ops.sum(probability * target, axis=(1, 2, 3))
        total = ops.sum(probability + target, axis=(1, 2, 3))
        loss = loss + 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    return loss
