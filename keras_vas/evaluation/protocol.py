"""The evaluation protocol: a model and records in, numbers and pictures out.

A prediction is compared with the untouched ground truth at the video's own
resolution: the padding is cut off, the *probabilities* are resized, and the
mask is where they exceed 0.5. Samples are judged one by one, so that nothing
depends on the batch size. What is kept of a sample is some numbers, and its
compressed mask on disk.
"""

import dataclasses
import functools
import itertools
import math
import pathlib
import time

import numpy as np
import tensorflow as tf

from keras_vas import command_line, metrics
from keras_vas.data import pipeline, transforms
from keras_vas.data.text.vocabulary import UNKNOWN_ID, sentence_warnings
from keras_vas.errors import UserError
from keras_vas.evaluation import report as evaluation_report

_COLUMNS = ("intersection", "union", "score", "other_iou", "lookalike_iou")


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What is found out about one sample; one row of samples.csv.

    Attributes:
        id: `<record key>/<query index>`.
        video: id of the video.
        frame: number of the annotated frame, from 1.
        actor: id of the actor that is asked for.
        query: the sentence.
        iou: IoU of prediction and truth.
        intersection: their common pixels.
        union: pixels in either.
        score: mean probability within the predicted mask; where that is
            empty, the highest probability of the frame, which ranks below
            the score of any mask.
        other_iou: best IoU of the prediction with another visible actor of
            the frame, NaN without one.
        lookalike_iou: the same, with actors that look like the target.
        chosen: 1 if `iou` exceeds `other_iou`, 0 if not, "" without another.
    """

    id: str
    video: str
    frame: int
    actor: str
    query: str
    iou: float
    intersection: int
    union: int
    score: float
    other_iou: float
    lookalike_iou: float
    chosen: int | str


def judge(probabilities, record, query_index):
    """Compares one prediction with the truth and with the other actors.

    Args:
        probabilities: float array `(height, width)`, the video's own size.
        record: `schema.AnnotatedFrame`.
        query_index: index into its queries.

    Returns:
        `(judgement, prediction)`: `Judgement` and bool `(height, width)`.
    """
    prediction = probabilities > metrics.THRESHOLD
    query = record.queries[query_index]
    target = record.actors[query.actor]
    others = [a for a in record.actors if a is not target and a.mask.any()]
    alike = [a for a in others if a.look and a.look == target.look]
    intersection, union = _areas(prediction, target.mask)
    iou = float(metrics.iou(intersection, union))
    other_iou = _best_iou(prediction, others)
    certain = probabilities[prediction] if prediction.any() else None
    if certain is None:
        score = float(probabilities.max())
    else:
        score = float(certain.mean(dtype=np.float64))
    judgement = Judgement(
        id=f"{record.key}/{query_index}",
        video=record.video_id,
        frame=record.frame_number,
        actor=target.id,
        query=query.text,
        iou=iou,
        intersection=intersection,
        union=union,
        score=score,
        other_iou=other_iou,
        lookalike_iou=_best_iou(prediction, alike),
        chosen="" if math.isnan(other_iou) else int(iou > other_iou),
    )
    return judgement, prediction


def evaluate(
    model,
    vocabulary,
    index,
    output,
    *,
    height,
    width,
    batch_size=8,
    strategy=None,
    about=None,
    pictures=4,
    progress=True,
):
    """Evaluates a model on one split and writes everything under `output`.

    The files are those of `evaluation_report`.

    Args:
        model: callable of `({"frames", "tokens"}, training=False)` that
            returns a dict with `mask_logits` `(batch, height, width, 1)`,
            made in the scope of `strategy`.
        vocabulary: `Vocabulary` of the model.
        index: `records.RecordIndex` of the split.
        output: folder for the results; those of an earlier evaluation are
            replaced.
        height: int, multiple of 32, height at which the model sees frames.
        width: int, likewise.
        batch_size: samples in a batch of all replicas.
        strategy: `tf.distribute.Strategy` with its replicas in this process,
            or `None` for one device.
        about: dict of what metrics.json is to say besides.
        pictures: how many pictures of the best, the median and the worst.
        progress: whether a progress bar is shown.

    Returns:
        The dict in metrics.json.

    Raises:
        UserError: a record cannot be read, the split is empty, or `output`
            holds files of these names that are no evaluation's.
        ValueError: a size is no multiple of 32, or the batch does not divide
            among the replicas.
    """
    output = pathlib.Path(output)
    check_output(output)
    total = index.num_samples
    if not total:
        raise UserError(
            f"the {index.split} split in {index.directory} holds no samples; "
            "name another --split"
        )
    predictions = _Predictions(
        model, vocabulary, index, height, width, batch_size, strategy
    )
    columns = {name: np.zeros(total) for name in _COLUMNS}
    texts = {}
    started = time.monotonic()
    with evaluation_report.MaskFile() as masks:
        with evaluation_report.csv_rows(output, _header()) as rows:
            found = command_line.progress(
                predictions,
                total=total,
                desc="evaluate",
                unit="sample",
                disable=not progress,
            )
            for i, (probabilities, record, query) in enumerate(found):
                judgement, mask = judge(probabilities, record, query)
                rows.writerow(_cells(judgement))
                texts[judgement.query] = None
                masks.append(mask)
                for name, column in columns.items():
                    column[i] = getattr(judgement, name)
        seconds = time.monotonic() - started
        ious = metrics.iou(columns["intersection"], columns["union"])
        evaluation_report.write_pictures(output, index, ious, masks, pictures)
    report = {
        "dataset": index.manifest["dataset"],
        "split": index.split,
        **(about or {}),
        **metrics.protocol(*(columns[name] for name in _COLUMNS)),
        "threshold": metrics.THRESHOLD,
        "height": height,
        "width": width,
        "unknown_word_samples": predictions.unknown_words,
        "sentence_warnings": sentence_warnings(texts, vocabulary),
        "corrupt_records": len(index.corrupt),
        "seconds": round(seconds, 3),
        "samples_per_second": round(total / seconds, 3),
    }
    return evaluation_report.write_metrics(output, report)


def check_output(output):
    """Raises a `UserError` if `evaluate` would refuse to write there."""
    evaluation_report.check_output(output, _header())


class _Predictions:
    """Iterates over `(probabilities, record, query index)` of every sample.

    Probabilities are `(height, width)` at the video's own size; records come
    straight from their shards.
    """

    def __init__(
        self, model, vocabulary, index, height, width, batch_size, strategy
    ):
        self.unknown_words = 0
        self._index = index
        self._strategy = strategy or tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        self._dataset = pipeline.evaluation_dataset(
            index,
            vocabulary,
            height=height,
            width=width,
            batch_size=batch_size,
            replicas=self._replicas,
        )
        self._records = index.sample_records
        self._queries = index.sample_queries
        self._read = functools.lru_cache(maxsize=1)(index.read)

        def forward(frames, tokens):
            inputs = {"frames": frames, "tokens": tokens}
            return tf.sigmoid(model(inputs, training=False)["mask_logits"])

        self._forward = tf.function(
            lambda *args: self._strategy.run(forward, args=args)
        )
        self._unletterbox = tf.function(
            transforms.unletterbox,
            input_signature=[
                tf.TensorSpec([height, width, 1], tf.float32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.int32),
            ],
        )

    def __iter__(self):
        with pipeline.readable_errors(self._index):
            batches = iter(self._dataset)
            while parts := list(itertools.islice(batches, self._replicas)):
                yield from self._samples(parts)

    def _samples(self, parts):
        def per_replica(name):
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group][name]
            )

        results = self._strategy.experimental_local_results(
            self._forward(per_replica("frames"), per_replica("tokens"))
        )
        for part, probabilities in zip(parts, results, strict=True):
            real = part["weight"].numpy() > 0
            unknown = np.any(part["tokens"].numpy() == UNKNOWN_ID, axis=1)
            self.unknown_words += int(np.sum(real & unknown))
            for i in np.flatnonzero(real):
                sample = int(part["sample"][i])
                record = self._read(int(self._records[sample]))
                own_size = self._unletterbox(
                    probabilities[i],
                    tf.constant(record.height),
                    tf.constant(record.width),
                )
                query = int(self._queries[sample])
                yield own_size[..., 0].numpy(), record, query


def _areas(prediction, mask):
    return (
        int(np.count_nonzero(prediction & mask)),
        int(np.count_nonzero(prediction | mask)),
    )


def _best_iou(prediction, actors):
    ious = (metrics.iou(*_areas(prediction, a.mask)) for a in actors)
    return float(max(ious, default=math.nan))


def _header():
    return [field.name for field in dataclasses.fields(Judgement)]


def _cells(judgement):
    """The cells of a row; NaN is an empty one."""
    cells = dataclasses.astuple(judgement)
    return ["" if cell != cell else cell for cell in cells]
