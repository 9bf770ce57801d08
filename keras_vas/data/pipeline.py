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

from keras_vas.data import records, schema, transforms
from keras_vas.data.vocabulary import PADDING_ID
from keras_vas.errors import UserError

NO_AUGMENTATION = transforms.Augmentation()
_FOREVER = 2**40
_READ_BYTES = 2**18
_DATA_ERROR = re.compile(
    "record at|schema version|No such file|Dataset was empty|pars|JPEG|PNG"
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
    augmentation=NO_AUGMENTATION,
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
        augmentation: `transforms.Augmentation`, drawn for each sample.
        parallel: int, samples made at the same time; by default the number
            of processors.

    Returns:
        `tf.data.Dataset` of the worker's per-replica batches of `b =
        batch_size / (workers * replicas)` samples: those of the replicas of
        one step follow each other. A batch is a dict: `frames` uint8 `(b,
        time, height, width, 3)`, `tokens` int32 `(b, 20)`, `mask` float32
        `(b, height, width, 1)` of 0 and 1, `sample` int64 `(b,)`.

    Raises:
        ValueError: for a size that is not a multiple of 32, or a batch that
            does not divide.
        UserError: if the split does not fill one batch.
    """
    transforms.check_size(height, width)
    share = _Share(batch_size, worker, workers, replicas)
    steps = steps_per_epoch(index, batch_size)
    samples = _Samples(index, vocabulary, height, width)
    seed = np.array([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], np.int32)

    start_epoch, start_step = divmod(start_step, steps)

    def ordered(epoch):
        """The worker's part of an epoch: (epoch, position, sample)."""
        order = samples.shuffled(tf.random.fold_in(seed, epoch), group_queries)
        first = tf.where(epoch == start_epoch, start_step, 0)
        numbers = tf.range(first * share.per_worker, steps * share.per_worker)
        step, row = share.place(numbers)
        position = step * batch_size + row
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.fill(tf.shape(position), epoch),
                position,
                tf.gather(order, position),
            )
        )

    def make(epoch, position, sample):
        own_seed = tf.random.fold_in(tf.random.fold_in(seed, epoch), position)
        return samples.make(sample, augmentation, own_seed)

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
    transforms.check_size(height, width)
    share = _Share(batch_size, worker, workers, replicas)
    samples = _Samples(index, vocabulary, height, width)

    def make(number):
        step, row = share.place(number)
        position = step * batch_size + row
        made = samples.make(tf.minimum(position, samples.count - 1))
        weight = tf.cast(position < samples.count, tf.float32)
        return {**made, "weight": weight}

    steps = -(-samples.count // batch_size)
    numbers = tf.data.Dataset.range(steps * share.per_worker)
    return _batches(numbers, make, share, parallel)


def steps_per_epoch(index, batch_size):
    """Whole global batches in one epoch.

    Raises:
        UserError: if there is not one.
    """
    count = index.num_samples
    if count < batch_size:
        raise UserError(
            f"The split holds {count} samples, fewer than one batch of "
            f"{batch_size}; choose a smaller batch or more data"
        )
    return count // batch_size


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
    return records.corruption_error(index.directory, index.split)


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


class _Samples:
    """Makes the samples of a split from their numbers, within a graph."""

    def __init__(self, index, vocabulary, height, width):
        self.count = index.num_samples
        self._vocabulary = vocabulary
        self._size = height, width
        paths, shards = np.unique(
            [str(path) for path in index.paths], return_inverse=True
        )
        with tf.device("cpu:0"):
            self._ends = tf.constant(np.cumsum(index.queries), tf.int64)
            self._queries = tf.constant(index.queries, tf.int64)
            self._offsets = tf.constant(index.offsets, tf.int64)
            self._paths = tf.constant(paths.tolist())
            self._shards = tf.constant(shards, tf.int32)

    def shuffled(self, seed, group_queries):
        """All samples in random order, int64 `(samples,)`."""
        shuffle = tf.random.experimental.stateless_shuffle
        if not group_queries:
            return shuffle(tf.range(self.count, dtype=tf.int64), seed)
        order = shuffle(tf.range(tf.size(self._queries)), seed)
        queries = tf.gather(self._queries, order)
        first = tf.gather(self._ends, order) - queries
        skipped = first - tf.cumsum(queries, exclusive=True)
        numbers = tf.range(self.count, dtype=tf.int64)
        return tf.repeat(skipped, queries) + numbers

    def make(self, sample, augmentation=NO_AUGMENTATION, seed=(0, 0)):
        """The sample of a number, with augmentation drawn from a seed.

        A pair, with another record of the split beside the sample's own, is
        made only where the sentence still means one actor: it places none
        in the picture, and the other record's sentences together lack at
        least one of its words.
        """
        height, width = self._size
        fields, actor, tokens = self._read(sample)
        view_seed, word_seed, pair_seed, partner_seed, other_seed = tf.unstack(
            tf.random.split(seed, 5)
        )

        def alone():
            return self._view(
                fields, actor, tokens, augmentation, view_seed, height, width
            )

        if augmentation.pair:
            partner = tf.random.stateless_uniform(
                [], partner_seed, 0, self.count, tf.int64, alg="philox"
            )
            others, other_actor, other_tokens = self._read(partner)

            def beside_another():
                own = self._view(
                    fields, actor, tokens, augmentation, view_seed, height,
                    width // 2, half=True,
                )  # fmt: skip
                other = self._view(
                    others, other_actor, other_tokens, augmentation,
                    other_seed, height, width - width // 2, half=True,
                )  # fmt: skip
                return _beside(own, other, pair_seed)

            known = self._vocabulary.encode(others[schema.QUERY_TEXTS])
            drawn = tf.random.stateless_uniform([], pair_seed, alg="philox")
            frames, mask, tokens = tf.cond(
                (drawn < augmentation.pair)
                & ~self._vocabulary.names_position(tokens)
                & _lacks_a_word(known, tokens),
                beside_another,
                alone,
            )
        else:
            frames, mask, tokens = alone()
        if augmentation.word_dropout:
            tokens = transforms.word_dropout(
                tokens, word_seed, augmentation.word_dropout
            )
        return {
            "frames": frames, "tokens": tokens, "mask": mask, "sample": sample,
        }  # fmt: skip

    def _view(
        self, fields, actor, tokens, augmentation, seed, height, width,
        half=False,
    ):  # fmt: skip
        """Frames, mask and tokens of one record in one frame."""
        mask = tf.io.decode_png(fields[schema.ACTOR_MASKS][actor], channels=1)
        crop_seed, flip_seed, colour_seed = tf.unstack(tf.random.split(seed, 3))
        window = None
        if half:
            window = transforms.half_window(mask, crop_seed, width / height)
        elif augmentation.crop:
            centred = self._vocabulary.names_position(tokens)
            window = transforms.crop_window(
                mask, crop_seed, augmentation.crop, centred
            )
        if window is not None:
            mask = tf.image.crop_to_bounding_box(mask, *tf.unstack(window))
        flipped = augmentation.flip > tf.random.stateless_uniform(
            [], flip_seed, alg="philox"
        )

        def finish(pictures):
            if augmentation.flip:
                pictures = tf.cond(
                    flipped,
                    lambda: transforms.flip(pictures),
                    lambda: pictures,
                )
            return transforms.pad(pictures, height, width)[0]

        def finish_frame(frame):
            frame = transforms.fit(frame[None], height, width)
            if augmentation.colour:
                frame = transforms.colour_jitter(
                    frame, colour_seed, augmentation.colour
                )
            return finish(frame)

        if augmentation.flip:
            tokens = tf.where(flipped, self._vocabulary.mirror(tokens), tokens)
        frames = _decode_clip(fields, window, finish_frame)
        mask = finish(transforms.fit_mask(mask, height, width)[None])
        return frames, mask, tokens

    def _read(self, sample):
        """Parsed record, number of the actor, and tokens of a sample."""
        record = tf.searchsorted(self._ends, [sample], side="right")[0]
        first = self._ends[record] - self._queries[record]
        path = tf.gather(self._paths, self._shards[record])
        stored = tf.data.experimental.from_variant(
            tf.raw_ops.TFRecordDatasetV2(
                filenames=path[None],
                compression_type="",
                buffer_size=_READ_BYTES,
                byte_offsets=self._offsets[record][None],
            ),
            tf.TensorSpec([], tf.string),
        )
        fields = schema.parse(stored.take(1).get_single_element())
        query = sample - first
        tokens = self._vocabulary.encode(fields[schema.QUERY_TEXTS][query])
        return fields, fields[schema.QUERY_ACTORS][query], tokens


def _lacks_a_word(known, tokens):
    """Whether a word of `tokens` `(words,)` is nowhere in `known`."""
    same = tokens[:, None] == tf.reshape(known, [1, -1])
    return tf.reduce_any(~tf.reduce_any(same, axis=1) & (tokens != PADDING_ID))


def _beside(own, other, seed):
    """Two half-width views in one picture; the mask is that of the first."""
    frames, mask, tokens = own
    other_frames, other_mask, _ = other
    first = tf.random.fold_in(seed, 1)
    mask_parts = mask, tf.zeros_like(other_mask)
    frames, mask = tf.cond(
        tf.random.stateless_uniform([], first, alg="philox") < 0.5,
        lambda: (
            tf.concat([frames, other_frames], axis=2),
            tf.concat(mask_parts, axis=1),
        ),
        lambda: (
            tf.concat([other_frames, frames], axis=2),
            tf.concat(mask_parts[::-1], axis=1),
        ),
    )
    return frames, mask, tokens


def _decode_clip(fields, window, finish):
    """The clip's frames, each decoded, cut to a window and finished.

    Frame by frame, so that the full-size picture is still in the cache when
    it is scaled; a frame that the clip repeats is decoded once.
    """
    numbers = fields[schema.CLIP_FRAME_NUMBERS]
    is_new = tf.concat([[True], numbers[1:] != numbers[:-1]], axis=0)
    encoded = tf.boolean_mask(fields[schema.CLIP_FRAMES], is_new)

    def decode(data):
        if window is None:
            return finish(tf.io.decode_jpeg(data, channels=3))
        return finish(tf.image.decode_and_crop_jpeg(data, window, channels=3))

    frames = tf.map_fn(decode, encoded, fn_output_signature=tf.uint8)
    frames = tf.cond(
        tf.reduce_all(is_new),
        lambda: frames,
        lambda: tf.gather(frames, tf.cumsum(tf.cast(is_new, tf.int32)) - 1),
    )
    return tf.ensure_shape(frames, [schema.CLIP_LENGTH, None, None, 3])


def _batches(numbers, make, share, parallel):
    dataset = numbers.map(
        make,
        num_parallel_calls=parallel or len(os.sched_getaffinity(0)),
        deterministic=True,
    )
    dataset = dataset.batch(share.per_replica, drop_remainder=True)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.max_intra_op_parallelism = 1
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return dataset.prefetch(2).with_options(options)
