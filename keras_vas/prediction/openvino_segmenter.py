"""Clips and sentences in, probabilities out, computed by OpenVINO."""

import threading

import numpy as np
import tensorflow as tf

from keras_vas.prediction import openvino_parts
from keras_vas.prediction.segmenters import Letterbox, check_clip_length
from keras_vas.presence import score as presence_score


class OpenVINOSegmenter(Letterbox):
    """The parts of a model as OpenVINO compiled them; see `KerasSegmenter`.

    Args:
        folder: that `openvino_parts.save` filled.
        vocabulary: the model's `Vocabulary`.
        calibration: `presence_score.Calibration`.
        precision: of the arithmetic, instead of the folder's own.

    Attributes:
        runtime: what computes, and in which precision: str.
        threshold: what a probability must exceed to belong to a mask.

    Raises:
        UserError: as `openvino_parts.read`.
    """

    def __init__(self, folder, vocabulary, calibration, precision=None):
        self._parts, found, self.runtime = openvino_parts.read(
            folder, precision
        )
        super().__init__(found.height, found.width)
        check_clip_length(self._parts["clip"][0].input("frames").shape[1])
        self.threshold = calibration.threshold
        self._vocabulary, self._calibration = vocabulary, calibration
        # A compiled model computes one thing at a time.
        self._lock = threading.Lock()

    def batch_size(self, queries):
        """One: a part takes one clip at a time."""
        del queries
        return 1

    def encode(self, queries):
        """What `run` needs to know of a list of sentences."""
        tokens = self._vocabulary.encode(queries).numpy()
        return [self._compute("text", {"tokens": x[None]}) for x in tokens]

    def run(self, clips, text):
        """Like `KerasSegmenter.run`."""
        results = [self._one(clip, text) for clip in clips]
        probabilities, scores = zip(*results, strict=True)
        return np.stack(probabilities), np.stack(scores)

    def see(self, clip):
        """What no sentence changes: dict of arrays, of a shrunk clip."""
        return self._compute("clip", {"frames": clip[None]})

    def joint_inputs(self, seen, sentence):
        """What the joint part takes, of `see` and an entry of `encode`."""
        wanted = [x.any_name for x in self._parts["joint"][0].inputs]
        return {name: {**seen, **sentence}[name] for name in wanted}

    def _one(self, clip, text):
        seen = self.see(clip)
        logits = [
            self._compute("joint", self.joint_inputs(seen, x))["mask_logits"]
            for x in text
        ]
        logits = tf.constant(np.concatenate(logits))
        scores = self._calibration.score(presence_score.evidence(logits))
        return tf.sigmoid(logits)[..., 0].numpy(), scores.numpy()

    def _compute(self, part, inputs):
        with self._lock:
            results = [piece(inputs) for piece in self._parts[part]]
        return {
            port.any_name: array
            for outputs in results
            for port, array in outputs.items()
        }
