"""Sums over the samples of an epoch."""

import dataclasses

import numpy as np

from keras_vas import metrics


@dataclasses.dataclass
class Totals:
    """Sums over samples, from which the metrics of an epoch come.

    Attributes:
        samples: number of samples.
        loss: sum of their losses.
        iou: sum of their IoUs.
        intersection: sum of pixels in both truth and prediction.
        union: sum of pixels in either.
    """

    samples: float = 0.0
    loss: float = 0.0
    iou: float = 0.0
    intersection: float = 0.0
    union: float = 0.0

    def add(self, table):
        """Adds a table of `optimization.DistributedSteps`."""
        table = np.asarray(table, np.float64)
        loss, intersection, union, weight = table[table[:, 3] > 0].T
        self.samples += float(weight.sum())
        self.loss += float(weight @ loss)
        self.iou += float(weight @ metrics.iou(intersection, union))
        self.intersection += float(weight @ intersection)
        self.union += float(weight @ union)

    def metrics(self):
        """Dict of `loss`, `mean_iou` and `overall_iou`, floats."""
        samples = max(self.samples, 1.0)
        return {
            "loss": self.loss / samples,
            "mean_iou": self.iou / samples,
            "overall_iou": self.intersection / max(self.union, 1.0),
        }
