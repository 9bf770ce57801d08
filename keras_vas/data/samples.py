"""Records to training samples: sentences, views and masks, within a graph."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_vas.data import record_tensors, transforms
from keras_vas.data.records import schema
from keras_vas.data.text.vocabulary import PADDING_ID

NO_AUGMENTATION = transforms.Augmentation()
_READ_BYTES = 2**18


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A parsed record and the sentences that are asked about it.

    Attributes:
        fields: dict of `record_tensors.parse`.
        actors: int64 tensor `(sentences,)`, whom each means.
        tokens: int32 tensor `(sentences, words)`.
        samples: int64 tensor `(sentences,)`, numbers in the index.
    """

    fields: dict
    actors: tf.Tensor
    tokens: tf.Tensor
    samples: tf.Tensor

    def first(self, count):
        """The same record with the first `count` sentences."""
        return dataclasses.replace(
            self,
            actors=self.actors[:count],
            tokens=self.tokens[:count],
            samples=self.samples[:count],
        )


class Samples:
    """Makes the samples of a split, clip by clip.

    A *sample* is one (record, query) pair; a *clip* holds `sentences_per_clip`
    samples that share their frames.

    Args:
        index: `records.RecordIndex`.
        vocabulary: `Vocabulary`.
        height: int, pixels of the frames.
        width: int, likewise.
        sentences_per_clip: int. With 1 an epoch has a clip for every sample;
            with more, one for every record, and its sentences are drawn, each
            once unless the record has too few.
        shares: see `pipeline.training_dataset`.
    """

    def __init__(
        self,
        index,
        vocabulary,
        height,
        width,
        sentences_per_clip=1,
        shares=(),
    ):
        self.sentences_per_clip = sentences_per_clip
        self._samples = index.num_samples
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
        grouped = sentences_per_clip > 1
        self.count = len(index) if grouped else index.num_samples
        clips = np.ones_like(index.queries) if grouped else index.queries
        self._parts = _parts(clips, shares)

    def shuffled(self, seed, group_queries):
        """The numbers of all clips of an epoch in random order, int64."""
        shuffle = tf.random.experimental.stateless_shuffle
        if self._parts:
            return shuffle(self._drawn(seed), tf.random.fold_in(seed, -1))
        if not group_queries or self.sentences_per_clip > 1:
            return shuffle(tf.range(self.count, dtype=tf.int64), seed)
        order = shuffle(tf.range(tf.size(self._queries)), seed)
        queries = tf.gather(self._queries, order)
        first = tf.gather(self._ends, order) - queries
        skipped = first - tf.cumsum(queries, exclusive=True)
        numbers = tf.range(self.count, dtype=tf.int64)
        return tf.repeat(skipped, queries) + numbers

    def _drawn(self, seed):
        """Clip numbers of all data sets, each of them by its share."""
        drawn = []
        for part, (first, count, taken) in enumerate(self._parts):
            rounds = [
                tf.random.experimental.stateless_shuffle(
                    tf.range(first, first + count, dtype=tf.int64),
                    tf.random.fold_in(tf.random.fold_in(seed, part), again),
                )
                for again in range(-(-taken // count))
            ]
            drawn.append(tf.concat(rounds, 0)[:taken])
        return tf.concat(drawn, 0)

    def make(self, number, augmentation=NO_AUGMENTATION, seed=(0, 0)):
        """The clip of a number, with augmentation drawn from a seed.

        A pair, with another record of the split beside the clip's own, is
        made only where every sentence still means one actor: it places none
        in the picture, and the sentences of the record beside it together
        lack at least one of its words. Half of the sentences, rounded down,
        are then about the other record.

        Args:
            number: int64 scalar.
            augmentation: `transforms.Augmentation`.
            seed: int tensor `(2,)`.

        Returns:
            Dict of `frames` uint8 `(time, height, width, 3)`, `tokens` int32
            `(sentences, words)`, `mask` float32 `(sentences, height, width,
            1)` and `sample` int64 `(sentences,)`.
        """
        seeds = tf.unstack(tf.random.split(seed, 7))
        view_seed, word_seed, pair_seed, partner_seed, other_seed = seeds[:5]
        own = self._asked(number, self.sentences_per_clip, seeds[5])
        size = self._size

        def alone():
            return self._view(own, size, augmentation, view_seed)

        if augmentation.pair:
            partner = tf.random.stateless_uniform(
                [], partner_seed, 0, self.count, tf.int64, alg="philox"
            )
            of_other = self.sentences_per_clip // 2
            other = self._asked(partner, max(of_other, 1), seeds[6])
            kept = own.first(self.sentences_per_clip - of_other)

            def beside():
                half = size[0], size[1] // 2
                return _beside(
                    self._view(kept, half, augmentation, view_seed, half=True),
                    self._view(
                        other, half, augmentation, other_seed, half=True
                    ),
                    of_other,
                    pair_seed,
                )

            drawn = tf.random.stateless_uniform([], pair_seed, alg="philox")
            made = tf.cond(
                (drawn < augmentation.pair)
                & self._mean_none_of(other, kept.tokens)
                & self._mean_none_of(own, other.first(of_other).tokens),
                beside,
                alone,
            )
        else:
            made = alone()
        if augmentation.word_dropout:
            made["tokens"] = transforms.word_dropout(
                made["tokens"], word_seed, augmentation.word_dropout
            )
        return made

    def _mean_none_of(self, asked, tokens):
        """Whether sentences cannot mean an actor of another record."""
        known = self._vocabulary.encode(asked.fields[schema.QUERY_TEXTS])
        same = tokens[..., None] == tf.reshape(known, [1, 1, -1])
        new = ~tf.reduce_any(same, axis=2) & (tokens != PADDING_ID)
        means_own = tf.reduce_any(new, axis=1)
        placed = self._vocabulary.names_position(tokens)
        return tf.reduce_all(means_own & ~placed)

    def _view(self, asked, size, augmentation, seed, half=False):
        """One record in a frame of `size`, cut, coloured and flipped."""
        height, width = size
        fields, tokens = asked.fields, asked.tokens
        masks = tf.map_fn(
            lambda data: tf.io.decode_png(data, channels=1),
            tf.gather(fields[schema.ACTOR_MASKS], asked.actors),
            fn_output_signature=tf.uint8,
        )
        crop_seed, flip_seed, colour_seed = tf.unstack(tf.random.split(seed, 3))
        window = None
        if half:
            window = transforms.half_window(
                tf.reduce_max(masks, 0), crop_seed, width / height
            )
        elif augmentation.crop:
            window = transforms.crop_window(
                tf.reduce_max(masks, 0),
                crop_seed,
                augmentation.crop,
                tf.reduce_any(self._vocabulary.names_position(tokens)),
            )
        if window is not None:
            masks = tf.image.crop_to_bounding_box(masks, *tf.unstack(window))
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
        return {
            "frames": _decode_clip(fields, window, finish_frame),
            "tokens": tokens,
            "mask": tf.map_fn(
                lambda mask: finish(
                    transforms.fit_mask(mask, height, width)[None]
                ),
                masks,
                fn_output_signature=tf.TensorSpec(
                    [height, width, 1], tf.float32
                ),
            ),
            "sample": asked.samples,
        }

    def _asked(self, number, count, seed):
        """The record of a clip's number, and `count` of its sentences."""
        if self.sentences_per_clip > 1:
            record = number
            everyone = tf.range(self._queries[record])
            drawn = tf.random.experimental.stateless_shuffle(everyone, seed)
            queries = tf.gather(drawn, tf.range(count) % tf.size(drawn))
        else:
            record = tf.searchsorted(self._ends, [number], side="right")[0]
            queries = [number - self._ends[record] + self._queries[record]]
        fields = self._read(record)
        queries = tf.ensure_shape(queries, [count])
        return _Asked(
            fields=fields,
            actors=tf.gather(fields[schema.QUERY_ACTORS], queries),
            tokens=self._vocabulary.encode(
                tf.gather(fields[schema.QUERY_TEXTS], queries)
            ),
            samples=self._ends[record] - self._queries[record] + queries,
        )

    def _read(self, record):
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
        return record_tensors.parse(stored.take(1).get_single_element())


def _parts(clips, shares):
    """`(first clip, clips, clips of an epoch)` of each data set."""
    if not shares:
        return ()
    records, weights = zip(*shares, strict=True)
    ends = np.cumsum(records)
    if ends[-1] != len(clips) or min(weights) <= 0:
        raise ValueError(
            "shares must be positive and cover the index. "
            f"Received: shares={shares}, records={len(clips)}"
        )
    ends = np.cumsum(clips)[ends - 1]
    firsts = np.concatenate([[0], ends[:-1]])
    bounds = np.rint(ends[-1] * np.cumsum(weights) / np.sum(weights))
    taken = np.diff(bounds.astype(int), prepend=0)
    return tuple(
        (int(first), int(end - first), int(count))
        for first, end, count in zip(firsts, ends, taken, strict=True)
    )


def _beside(own, other, of_other, seed):
    """Two half-width views side by side, the first one's sentences first."""
    of_own = own["tokens"].shape[0]
    other = {
        name: value if name == "frames" else value[:of_other]
        for name, value in other.items()
    }
    own_mask = tf.pad(own["mask"], [[0, of_other], [0, 0], [0, 0], [0, 0]])
    other_mask = tf.pad(other["mask"], [[of_own, 0], [0, 0], [0, 0], [0, 0]])
    frames, mask = tf.cond(
        tf.random.stateless_uniform(
            [], tf.random.fold_in(seed, 1), alg="philox"
        )
        < 0.5,
        lambda: (
            tf.concat([own["frames"], other["frames"]], axis=2),
            tf.concat([own_mask, other_mask], axis=2),
        ),
        lambda: (
            tf.concat([other["frames"], own["frames"]], axis=2),
            tf.concat([other_mask, own_mask], axis=2),
        ),
    )
    rows = {
        name: tf.concat([own[name], other[name]], axis=0)
        for name in ("tokens", "sample")
    }
    return {"frames": frames, "mask": mask, **rows}


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
