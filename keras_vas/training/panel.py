"""The picture of an epoch: frames, truth and prediction of some samples."""

import numpy as np

from keras_vas.data import pipeline
from keras_vas.data.records import schema
from keras_vas.data.text.vocabulary import FIRST_WORD_ID
from keras_vas.metrics import iou
from keras_vas.pictures import panels

_SAMPLES = 4


class Panel:
    """Draws the same samples whenever it is called.

    Args:
        index: `records.RecordIndex`; the samples are spread over it.
        vocabulary: `Vocabulary`.
        height: int, pixels, of the model's frames.
        width: likewise.

    Call arguments:
        model: `SegmentationModel`.

    Returns:
        uint8 picture (height, width, 3), a row a sample.
    """

    def __init__(self, index, vocabulary, *, height, width):
        count = min(_SAMPLES, len(index))
        chosen = np.linspace(0, len(index) - 1, count).round().astype(int)
        self._index = index.subset(chosen)
        self._vocabulary = vocabulary
        self._size = {"height": height, "width": width}
        self._batch = None

    def __call__(self, model):
        """See the class."""
        if self._batch is None:
            self._batch = self._read()
        batch = self._batch
        inputs = {"frames": batch["frames"], "tokens": batch["tokens"]}
        logits = np.asarray(model(inputs, training=False)["mask_logits"])
        return panels.samples_panel(
            [
                self._row(*sample)
                for sample in zip(
                    batch["frames"],
                    batch["tokens"],
                    batch["mask"][..., 0] > 0.5,
                    logits[..., 0] > 0,
                    strict=True,
                )
            ]
        )

    def _read(self):
        """The first sample of each of the chosen records."""
        queries = self._index.queries
        batches = pipeline.evaluation_dataset(
            self._index,
            self._vocabulary,
            **self._size,
            batch_size=int(queries.sum()),
        )
        batch = next(batches.as_numpy_iterator())
        firsts = np.cumsum(queries) - queries
        return {name: value[firsts] for name, value in batch.items()}

    def _row(self, frames, tokens, truth, prediction):
        words = self._vocabulary.words
        text = " ".join(
            words[token - FIRST_WORD_ID] if token >= FIRST_WORD_ID else "?"
            for token in tokens
            if token
        )
        score = iou((truth & prediction).sum(), (truth | prediction).sum())
        return {
            "frames": frames,
            "target": schema.TARGET_INDEX,
            "truth": truth,
            "prediction": prediction,
            "text": f"{text}   IoU {float(score):.2f}",
        }
