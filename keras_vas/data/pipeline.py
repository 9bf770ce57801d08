"""Batches for training and evaluation, straight from the records on disk.

A *sample* is one (record, query) pair, numbered in the order of the index. The
order of an epoch is a permutation drawn from (seed, epoch) alone, and every
record is read at its own offset. So training can begin at any step without
reading what came before, the global batches are the same for any number of
workers and replicas, and memory holds no more than the index and the batches
in the making.

Frames are delivered as uint8: on its way to a device a batch is then a
quarter of its float32 size, and the model casts it there.
"""

import contextlib
import dataclasses
import os
import re

import numpy as np
import tensorflow as tf

from keras_vas.data import frame_size, records
from keras_vas.data.samples import NO_AUGMENTATION, Samples
from keras_vas.errors import UserError

_FOREVER = 2**40
_DATA_ERROR = re.compile(
    r"record at|schema version|No such file|Dataset was empty|[Pp]ars|JPEG|PNG"
    r"|Input is empty|is not in \["
)


def training_dataset(
    index,
    vocabulary,
    *,
    height,
    width,
    batch_size,
    seed,
    epochs=None,
    start_step=0,
    worker=0,
    workers=1,
    replicas=1,
    group_queries=False,
    sentences_per_clip=1,
    augmentation=NO_AUGMENTATION,
    shares=(),
    parallel=None,
):
    """Shuffled, augmented batches of one worker, in a reproducible order.

    Global batch `s` holds samples `[s * batch_size, (s + 1) * batch_size)` of
    its epoch's order; what remains at the end of an epoch is dropped. Worker
    and replica take their slices of each global batch. Augmentation is drawn
    from (seed, epoch, position in the epoch).

    Args:
        index: `records.RecordIndex` of the split.
        vocabulary: `Vocabulary`.
        height: int, multiple of 32, pixels.
        width: int, likewise.
        batch_size: int, samples in a global batch.
        seed: int.
        epochs: int, or None for no end.
        start_step: int, global batches to pass over; nothing of them is read.
        worker: int, number of this worker, from 0.
        workers: int.
        replicas: int, replicas of each worker.
        group_queries: bool, keep the queries of a record together: only the
            records are shuffled. In a batch that holds several sentences of
            one clip, what the sentences have in common says nothing of the
            masks' difference.
        sentences_per_clip: int, a divisor of each replica's share of the
            batch. With more than 1 every clip of a batch comes with that many
            sentences, drawn from its record: the frames are decoded once, and
            a model can share among them whatever no sentence is needed for.
            An epoch then has every record once.
        augmentation: `transforms.Augmentation`, drawn for each clip.
        shares: pairs `(records, share)`, one for each data set of a joined
            index: how many records it has there, and its share of an epoch's
            clips. An epoch is as long as without; of a data set it has each
            clip about equally often, be that less or more than once.
        parallel: int, samples made at the same time; by default the number
            of processors.

    Returns:
        `tf.data.Dataset` of the worker's per-replica batches of `b =
        batch_size / (workers * replicas)` samples: those of the replicas of
        one step follow each other. A batch is a dict: `frames` uint8 `(b /
        sentences_per_clip, time, height, width, 3)`, `tokens` int32 `(b,
        20)`, `mask` float32 `(b, height, width, 1)` of 0 and 1, `sample`
        int64 `(b,)`.

    Raises:
        ValueError: for a size that is not a multiple of 32, or a batch that
            does not divide.
        UserError: if the split does not fill one batch.
    """
    frame_size.check_size(height, width)
    if sentences_per_clip < 1 or batch_size % sentences_per_clip:
        raise ValueError(
            "sentences_per_clip must divide the batch. Received: "
            f"{batch_size=}, {sentences_per_clip=}"
        )
    clips = batch_size // sentences_per_clip
    share = _Share(clips, worker, workers, replicas)
    steps = steps_per_epoch(index, batch_size, sentences_per_clip)
    samples = Samples(
        index, vocabulary, height, width, sentences_per_clip, shares
    )
    seed = np.array([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], np.int32)

    start_epoch, start_step = divmod(start_step, steps)

    def ordered(epoch):
        """The worker's part of an epoch: (epoch, position, clip)."""
        order = samples.shuffled(tf.random.fold_in(seed, epoch), group_queries)
        first = tf.where(epoch == start_epoch, start_step, 0)
        numbers = tf.range(first * share.per_worker, steps * share.per_worker)
        step, row = share.place(numbers)
        position = step * clips + row
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.fill(tf.shape(position), epoch),
                position,
                tf.gather(order, position),
            )
        )

    def make(epoch, position, clip):
        own_seed = tf.random.fold_in(tf.random.fold_in(seed, epoch), position)
        return samples.make(clip, augmentation, own_seed)

    last_epoch = _FOREVER if epochs is None else epochs
    numbers = tf.data.Dataset.range(start_epoch, last_epoch).flat_map(ordered)
    return _batches(numbers, make, share, parallel)


def evaluation_dataset(
    index,
    vocabulary,
    *,
    height,
    width,
    batch_size,
    worker=0,
    workers=1,
    replicas=1,
    parallel=None,
):
    """Every sample once, in the order of the index.

    The last global batch is filled up by repeating the last sample with
    weight 0.

    Args:
        index: `records.RecordIndex` of the split.
        vocabulary: `Vocabulary`.
        height: int, multiple of 32, pixels.
        width: int, likewise.
        batch_size: int, samples in a global batch.
        worker: int, number of this worker, from 0.
        workers: int.
        replicas: int, replicas of each worker.
        parallel: int, samples made at the same time; by default the number
            of processors.

    Returns:
        `tf.data.Dataset` like that of `training_dataset`, with `weight`
        float32 `(b,)` in addition.

    Raises:
        ValueError: as for `training_dataset`.
    """
    frame_size.check_size(height, width)
    share = _Share(batch_size, worker, workers, replicas)
    samples = Samples(index, vocabulary, height, width)

    def make(number):
        step, row = share.place(number)
        position = step * batch_size + row
        made = samples.make(tf.minimum(position, samples.count - 1))
        weight = tf.cast(position < samples.count, tf.float32)
        return {**made, "weight": weight[None]}

    steps = -(-samples.count // batch_size)
    numbers = tf.data.Dataset.range(steps * share.per_worker)
    return _batches(numbers, make, share, parallel)


def steps_per_epoch(index, batch_size, sentences_per_clip=1):
    """Whole global batches in one epoch of `training_dataset`.

    Raises:
        UserError: if there is not one.
    """
    grouped = sentences_per_clip > 1
    count = sentences_per_clip * len(index) if grouped else index.num_samples
    if count < batch_size:
        raise UserError(
            f"The split holds {count} samples, fewer than one batch of "
            f"{batch_size}; choose a smaller batch or more data"
        )
    return count // batch_size


def shares(index, directories, weights):
    """The `shares` of `training_dataset` for a joined index.

    Args:
        index: `records.RecordIndex`, of `records.join` or a part of it.
        directories: the folders of the data sets, in the index's order.
        weights: a positive number for each, or none to take all clips alike.

    Returns:
        Tuple of `(records, weight)`, empty without weights.

    Raises:
        ValueError: there is another number of weights.
    """
    if not weights:
        return ()
    if len(weights) != len(directories):
        raise ValueError(
            f"--data_weights must be one number for each folder of --data; "
            f"got {len(weights)} for {len(directories)}"
        )
    parents = np.array([os.path.dirname(path) for path in index.paths])
    return tuple(
        (int(np.sum(parents == os.path.normpath(directory))), weight)
        for directory, weight in zip(directories, weights, strict=True)
    )


@contextlib.contextmanager
def readable_errors(index):
    """Turns the failure to read a record into a `UserError`.

    To be put around the code that takes batches from a dataset of `index`;
    the message names the record and its shard.

    Args:
        index: `records.RecordIndex`.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = _corruption(index, str(error.message))
        if found is None:
            raise
        raise found from None


def _corruption(index, message):
    """The `UserError` behind a TensorFlow error, None if it is no data."""
    if not _DATA_ERROR.search(message):
        return None
    place = re.search(r"record at (\d+)", message)
    suspects = index.offsets == int(place[1]) if place else []
    for record in np.flatnonzero(suspects):
        try:
            index.read(record)
        except UserError as error:
            return error
    return records.corruption_error(index)


@dataclasses.dataclass(frozen=True)
class _Share:
    """The slices of each global batch that one worker makes."""

    batch_size: int
    worker: int
    workers: int
    replicas: int

    def __post_init__(self):
        devices = self.workers * self.replicas
        if self.batch_size < 1 or devices < 1 or self.batch_size % devices:
            raise ValueError(
                "The batch must divide among the replicas of all workers. "
                f"Received: batch_size={self.batch_size}, "
                f"workers={self.workers}, replicas={self.replicas}"
            )
        if not 0 <= self.worker < self.workers:
            raise ValueError(
                "Workers count from 0. "
                f"Received: worker={self.worker}, workers={self.workers}"
            )

    @property
    def per_replica(self):
        return self.batch_size // (self.workers * self.replicas)

    @property
    def per_worker(self):
        return self.batch_size // self.workers

    def place(self, number):
        """Step and row in the global batch of this worker's nth sample."""
        step, row = number // self.per_worker, number % self.per_worker
        return step, self.worker * self.per_worker + row


def _batches(numbers, make, share, parallel):
    dataset = numbers.map(
        make,
        num_parallel_calls=parallel or len(os.sched_getaffinity(0)),
        deterministic=True,
    )
    dataset = dataset.batch(share.per_replica, drop_remainder=True)
    dataset = dataset.map(_merge_clips)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.max_intra_op_parallelism = 1
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return dataset.prefetch(2).with_options(options)


def _merge_clips(batch):
    """All but the frames, `(clips, sentences, ...)`, to `(samples, ...)`."""
    return {
        name: value
        if name == "frames"
        else tf.reshape(
            value, [value.shape[0] * value.shape[1], *value.shape[2:]]
        )
        for name, value in batch.items()
    }
