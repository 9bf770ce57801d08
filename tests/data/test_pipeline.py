"""Tests of `keras_vas.data.pipeline`, on records that the tests write."""

import dataclasses
import itertools
import os

import numpy as np
import pytest
import small_records
import tensorflow as tf

from keras_vas.data import pipeline, records, transforms
from keras_vas.data.records import example_proto, schema, tfrecord
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError

HEIGHT, WIDTH = 64, 96
SIZES = {"wide": (40, 80), "tall": (70, 51), "exact": (64, 96)}
TEXTS = ("dog on the left", "a bird , flying right", "cat")


def annotated_frame(video_id, split):
    """A smooth picture, so that JPEG keeps it, of its own for each video."""
    number = int(video_id.split("-")[1])
    height, width = SIZES[video_id.split("-")[0]]
    y, x = np.mgrid[0:height, 0:width]
    numbers = schema.clip_frame_numbers(4 + 8 * (number % 2), 30)
    clip = [
        np.stack([2 * y + n, 2 * x + n, np.full_like(x, 10 * number + n)], -1)
        for n in numbers
    ]
    masks = np.zeros((2, height, width), bool)
    masks[0, 5:20, 4 : 10 + number] = True
    masks[1, 20:35, 20:45] = True
    queries = [schema.Query(TEXTS[0], 0), schema.Query(TEXTS[1], 1)]
    if number % 3 == 0:
        queries.append(schema.Query(TEXTS[2], 1))
    return schema.AnnotatedFrame(
        dataset="toy",
        video_id=video_id,
        subset=split,
        frame_number=4 + 8 * (number % 2),
        clip=[frame.astype(np.uint8) for frame in clip],
        clip_frame_numbers=numbers,
        height=height,
        width=width,
        actors=tuple(
            schema.Actor(str(i), mask) for i, mask in enumerate(masks)
        ),
        queries=tuple(queries),
    )


def convert(video_id, split):
    return records.Conversion([annotated_frame(video_id, split)])


def convert_with_own_words(video_id, split):
    frame = annotated_frame(video_id, split)
    word = video_id.replace("-", "")
    queries = tuple(
        schema.Query(f"{word} {i}", query.actor)
        for i, query in enumerate(frame.queries)
    )
    return records.Conversion([dataclasses.replace(frame, queries=queries)])


def write(folder, convert=convert):
    videos = [f"{kind}-{n}" for n, kind in enumerate(3 * list(SIZES))]
    small_records.write(
        folder, convert, {"train": videos}, dataset="toy", shards=2
    )
    return records.read_index(folder, "train")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.build(TEXTS)


def training(index, vocabulary, **arguments):
    chosen = dict(height=HEIGHT, width=WIDTH, batch_size=4, seed=3, parallel=2)
    return pipeline.training_dataset(index, vocabulary, **chosen | arguments)


def take(dataset, count=None):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_same_batches(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], name)


ALL = transforms.Augmentation(flip=0.5, crop=0.4, colour=0.2, word_dropout=0.2)


def test_the_data_set_is_what_the_tests_expect(index):
    assert len(index) == 9
    assert index.num_samples == 9 * 2 + 3
    assert len(set(index.paths)) == 2


def test_every_sample_equals_its_record(index, vocabulary):
    dataset = pipeline.evaluation_dataset(
        index, vocabulary, height=HEIGHT, width=WIDTH, batch_size=4
    )
    spec = dataset.element_spec
    assert spec["frames"].shape.as_list() == [4, 8, HEIGHT, WIDTH, 3]
    assert spec["mask"].shape.as_list() == [4, HEIGHT, WIDTH, 1]
    assert spec["tokens"].shape.as_list() == [4, 20]
    batches = take(dataset)
    assert len(batches) == 6
    rows = [
        {name: values[i] for name, values in batch.items()}
        for batch in batches
        for i in range(4)
    ]
    weights = [row["weight"] for row in rows]
    np.testing.assert_array_equal(weights, [1] * 21 + [0] * 3)
    assert [row["sample"] for row in rows] == [*range(21), 20, 20, 20]
    for row, record, query in zip(
        rows[:21], index.sample_records, index.sample_queries, strict=True
    ):
        frame = index.read(record)
        clip = [tf.io.decode_jpeg(data) for data in frame.clip]
        np.testing.assert_array_equal(
            row["frames"], transforms.letterbox(clip, HEIGHT, WIDTH)
        )
        asked = frame.queries[query]
        mask = frame.actors[asked.actor].mask[..., None]
        fitted = transforms.fit_mask(mask, HEIGHT, WIDTH)
        np.testing.assert_array_equal(
            row["mask"], transforms.pad(fitted[None], HEIGHT, WIDTH)[0]
        )
        assert row["mask"].sum() > 20
        np.testing.assert_array_equal(
            row["tokens"], vocabulary.encode(asked.text)
        )


def test_repeated_frames_of_a_clip_stay_in_place(index, vocabulary):
    numbers = schema.clip_frame_numbers(4, 30)
    assert numbers == [1, 1, 1, 2, 4, 6, 8, 10]
    record = next(
        i for i in range(len(index)) if index.read(i).frame_number == 4
    )
    one = index.subset([record])
    (batch,) = take(
        pipeline.evaluation_dataset(
            one, vocabulary, height=HEIGHT, width=WIDTH, batch_size=3
        )
    )
    clip = batch["frames"][0].astype(float)
    step = (
        clip[:, HEIGHT // 2, WIDTH // 2, 1]
        - clip[0, HEIGHT // 2, WIDTH // 2, 1]
    )
    np.testing.assert_allclose(step, np.subtract(numbers, 1), atol=2)


def test_an_epoch_is_a_permutation_and_epochs_differ(index, vocabulary):
    batches = take(training(index, vocabulary, batch_size=3, epochs=3))
    assert len(batches) == 21
    order = np.array([batch["sample"] for batch in batches]).reshape(3, 21)
    for epoch in order:
        assert sorted(epoch) == list(range(21))
        assert list(epoch) != list(range(21))
    assert np.mean(order[0] == order[1]) < 0.5
    other = take(training(index, vocabulary, batch_size=3, seed=4), 7)
    assert np.any(order[0] != np.ravel([b["sample"] for b in other]))


def test_orders_are_even(index, vocabulary):
    """Over many epochs every sample comes first about equally often."""
    one = index.subset([0, 1])
    count, epochs = one.num_samples, 400
    batches = take(
        training(
            one, vocabulary, height=32, width=32, batch_size=1, epochs=epochs
        )
    )
    order = np.ravel([batch["sample"] for batch in batches])
    first = order.reshape(epochs, count)[:, 0]
    occurrences = np.bincount(first, minlength=count)
    expected = epochs / count
    assert np.abs(occurrences - expected).max() < 4 * np.sqrt(expected)


def test_the_remainder_of_an_epoch_is_dropped(index, vocabulary):
    assert pipeline.steps_per_epoch(index, 4) == 5
    batches = take(training(index, vocabulary, epochs=2))
    assert len(batches) == 10
    for epoch in (batches[:5], batches[5:]):
        assert len({n for batch in epoch for n in batch["sample"]}) == 20


@pytest.mark.parametrize("start", [1, 5, 7])
def test_resumed_batches_equal_the_undisturbed_run(index, vocabulary, start):
    whole = take(training(index, vocabulary, augmentation=ALL, epochs=2))
    resumed = training(
        index, vocabulary, augmentation=ALL, epochs=2, start_step=start
    )
    assert_same_batches(take(resumed), whole[start:])


def test_a_far_step_is_reached_at_once(index, vocabulary):
    far = training(index, vocabulary, start_step=10**9)
    (batch,) = take(far, 1)
    assert batch["frames"].shape == (4, 8, HEIGHT, WIDTH, 3)


def global_batches(parts, replicas, name):
    """Joins the batches of workers, each a list, to global ones."""
    steps = [
        [
            np.concatenate([b[name] for b in part[i : i + replicas]])
            for i in range(0, len(part), replicas)
        ]
        for part in parts
    ]
    return [np.concatenate(step) for step in zip(*steps, strict=True)]


@pytest.mark.parametrize(("workers", "replicas"), [(2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("is_training", [True, False])
def test_workers_and_replicas_share_the_same_global_batches(
    index, vocabulary, workers, replicas, is_training
):
    def make(**share):
        if is_training:
            return training(
                index, vocabulary, augmentation=ALL, epochs=1, **share
            )
        return pipeline.evaluation_dataset(
            index,
            vocabulary,
            height=HEIGHT,
            width=WIDTH,
            batch_size=4,
            **share,
        )

    alone = take(make())
    parts = [
        take(make(worker=worker, workers=workers, replicas=replicas))
        for worker in range(workers)
    ]
    assert len(parts[0]) == len(alone) * replicas
    assert len(parts[0][0]["sample"]) == 4 // (workers * replicas)
    for name in alone[0]:
        joined = global_batches(parts, replicas, name)
        np.testing.assert_array_equal(joined, [batch[name] for batch in alone])


def test_the_number_of_parallel_calls_changes_nothing(index, vocabulary):
    one, eight = (
        take(
            training(index, vocabulary, augmentation=ALL, epochs=1, parallel=n)
        )
        for n in (1, 8)
    )
    assert_same_batches(one, eight)


def test_flip_mirrors_frames_mask_and_sentence(index, vocabulary):
    plain = take(training(index, vocabulary, epochs=1))
    always = transforms.Augmentation(flip=1.0)
    flipped = take(training(index, vocabulary, epochs=1, augmentation=always))
    assert len(plain) == 5
    spare = 0
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(one["sample"], other["sample"])
        for a, b in zip(one["frames"], other["frames"], strict=True):
            # The padding stays where it is when its sides are unequal.
            columns = np.flatnonzero(a.any(axis=(0, 1, 3)))
            inside = slice(columns[0], columns[-1] + 1)
            spare += columns[0] != WIDTH - 1 - columns[-1]
            np.testing.assert_array_equal(
                a[:, :, inside], b[:, :, inside][:, :, ::-1]
            )
        assert one["mask"].sum() == other["mask"].sum() > 0
        assert np.any(one["mask"] != other["mask"])
        np.testing.assert_array_equal(
            vocabulary.mirror(one["tokens"]), other["tokens"]
        )
    assert spare


def test_flip_has_its_probability(index, vocabulary):
    plain = take(training(index, vocabulary, epochs=5))
    half = transforms.Augmentation(flip=0.5)
    maybe = take(training(index, vocabulary, epochs=5, augmentation=half))
    changed = [
        np.any(a != b)
        for one, other in zip(plain, maybe, strict=True)
        for a, b in zip(one["mask"], other["mask"], strict=True)
    ]
    assert len(changed) == 100
    assert 0.35 < np.mean(changed) < 0.65


def test_crop_keeps_the_target(index, vocabulary):
    plain = take(training(index, vocabulary, epochs=1))
    crop = transforms.Augmentation(crop=0.5)
    cropped = take(training(index, vocabulary, epochs=1, augmentation=crop))
    grown = 0
    for one, other in zip(plain, cropped, strict=True):
        for before, after in zip(one["mask"], other["mask"], strict=True):
            # The content is scaled up at most to the frame, never down.
            assert after.sum() > 0.8 * before.sum()
            grown += after.sum() > 1.1 * before.sum()
        assert other["frames"].any(axis=(1, 2, 3, 4)).all()
    assert grown > 3


def video_numbers(clip):
    """The videos of the left and of the right half of a clip.

    The blue of a first frame is 10 n + frame, but for the noise of JPEG.
    """
    blue = [10 * n + 4 * (n % 2) for n in range(9)]
    halves = np.split(clip[0, HEIGHT // 2, :, 2].astype(int), 2)
    seen = [np.median(half[half > 0]) if half.any() else 0 for half in halves]
    return [int(np.argmin(np.abs(np.array(blue) - value))) for value in seen]


def test_a_pair_is_made_only_where_the_sentence_still_means_one(
    index, vocabulary
):
    plain = take(training(index, vocabulary, epochs=4))
    pair = transforms.Augmentation(pair=1.0)
    paired = take(training(index, vocabulary, epochs=4, augmentation=pair))
    sides, same = set(), 0
    for one, other in zip(plain, paired, strict=True):
        np.testing.assert_array_equal(one["sample"], other["sample"])
        for i, sample in enumerate(one["sample"]):
            frame = index.read(index.sample_records[sample])
            text = frame.queries[index.sample_queries[sample]].text
            if np.array_equal(one["frames"][i], other["frames"][i]):
                np.testing.assert_array_equal(one["mask"][i], other["mask"][i])
                same += 1
                continue
            # The other sentences name a side; the one word of this one is
            # nowhere in a record whose number is no multiple of 3.
            assert text == TEXTS[2]
            own = int(frame.video_id.split("-")[1])
            numbers = video_numbers(other["frames"][i])
            assert own in numbers
            side = numbers.index(own)
            assert numbers[1 - side] % 3
            mask = other["mask"][i, ..., 0]
            half = slice(0, WIDTH // 2), slice(WIDTH // 2, WIDTH)
            assert mask[:, half[side]].sum() > 20
            assert not mask[:, half[1 - side]].any()
            sides.add(side)
    assert sides == {0, 1}
    assert same > 40


def test_sentences_of_a_clip_share_its_frames(index, vocabulary):
    """Each record once an epoch, with drawn sentences of its own."""
    shared = training(
        index, vocabulary, batch_size=6, epochs=2, sentences_per_clip=2
    )
    assert shared.element_spec["frames"].shape[0] == 3
    batches = take(shared)
    assert len(batches) == 2 * pipeline.steps_per_epoch(index, 6, 2) == 6
    plain = {
        int(sample): (batch["frames"][i], batch["mask"][i], batch["tokens"][i])
        for batch in take(
            pipeline.evaluation_dataset(
                index, vocabulary, height=HEIGHT, width=WIDTH, batch_size=3
            )
        )
        for i, sample in enumerate(batch["sample"])
    }
    records_seen, pairs_seen = [], set()
    for batch in batches:
        for i, sample in enumerate(batch["sample"]):
            frames, mask, tokens = plain[int(sample)]
            np.testing.assert_array_equal(batch["frames"][i // 2], frames)
            np.testing.assert_array_equal(batch["mask"][i], mask)
            np.testing.assert_array_equal(batch["tokens"][i], tokens)
        one, other = batch["sample"][::2], batch["sample"][1::2]
        assert np.all(one != other)
        pairs_seen |= set(zip(one.tolist(), other.tolist(), strict=True))
        records_seen += index.sample_records[one].tolist()
        np.testing.assert_array_equal(
            index.sample_records[one], index.sample_records[other]
        )
    assert sorted(records_seen) == sorted(2 * list(range(9)))
    assert len(pairs_seen) > 9


def test_more_sentences_than_a_record_has_are_repeated(index, vocabulary):
    batches = take(
        training(
            index, vocabulary, batch_size=4, epochs=1, sentences_per_clip=4
        )
    )
    assert len(batches) == 9
    for batch in batches:
        record = index.sample_records[batch["sample"][0]]
        count = index.queries[record]
        assert len(set(batch["sample"].tolist())) == count
    with pytest.raises(ValueError, match="must divide the batch"):
        training(index, vocabulary, sentences_per_clip=3)


def test_a_shared_pair_asks_about_both_sides(tmp_path):
    """Half of the sentences mean the one record, half the other."""
    index = write(tmp_path, convert_with_own_words)
    words = [f"{kind}{n}" for n, kind in enumerate(3 * list(SIZES))]
    vocabulary = Vocabulary.build([*words, "0 1 2"])
    pair = transforms.Augmentation(pair=1.0)
    batches = take(
        training(
            index, vocabulary, batch_size=4, epochs=5, sentences_per_clip=2,
            augmentation=pair,
        )
    )  # fmt: skip
    mixed = 0
    for batch in batches:
        for clip in range(2):
            rows = slice(2 * clip, 2 * clip + 2)
            one, other = index.sample_records[batch["sample"][rows]]
            if one == other:
                continue
            mixed += 1
            masks = batch["mask"][rows, ..., 0]
            sides = masks.reshape(2, HEIGHT, 2, WIDTH // 2).sum((1, 3)) > 0
            # Each on one side, not on the same.
            np.testing.assert_array_equal(sides.sum(1), [1, 1])
            np.testing.assert_array_equal(sides.sum(0), [1, 1])
            numbers = [
                int(index.keys[record].split("/")[1].split("-")[1])
                for record in (one, other)
            ]
            found = video_numbers(batch["frames"][clip])
            assert [found[side] for side in sides.argmax(1)] == numbers
    assert mixed > 20


def test_augmentation_differs_between_epochs(index, vocabulary):
    colour = transforms.Augmentation(colour=0.3)
    batches = take(training(index, vocabulary, epochs=2, augmentation=colour))
    first, second = (
        {
            number: frames
            for batch in epoch
            for number, frames in zip(
                batch["sample"], batch["frames"], strict=True
            )
        }
        for epoch in (batches[:5], batches[5:])
    )
    shared = first.keys() & second.keys()
    assert len(shared) >= 19
    assert all(np.any(first[n] != second[n]) for n in shared)


def test_replicas_of_a_strategy_take_the_slices_in_turn(index, vocabulary):
    batches = take(training(index, vocabulary, replicas=2), 2)
    whole = take(training(index, vocabulary), 1)[0]
    np.testing.assert_array_equal(
        np.concatenate([batch["sample"] for batch in batches]), whole["sample"]
    )


def damage(index, record, distance=40):
    """Flips bits within the data of a record; gives its shard."""
    path = index.paths[record]
    with open(path, "r+b") as file:
        file.seek(int(index.offsets[record]) + distance)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0xFF]))
    return str(path)


@pytest.mark.parametrize("distance", [2, 40])
def test_a_corrupt_record_is_named(tmp_path, vocabulary, distance):
    index = write(tmp_path)
    path = damage(index, 4, distance)
    batches = iter(training(index, vocabulary, epochs=1, batch_size=3))
    with pytest.raises(UserError) as caught, pipeline.readable_errors(index):
        list(batches)
    message = str(caught.value)
    assert path in message
    assert index.keys[4] in message
    assert "--skip_corrupt" in message
    assert "\n" not in message
    assert len(message) < 300 + len(path)


def test_a_missing_shard_is_named(tmp_path, vocabulary):
    index = write(tmp_path)
    missing = tmp_path / "train-00001-of-00002.tfrecord"
    missing.unlink()
    with (
        pytest.raises(UserError, match=missing.name),
        pipeline.readable_errors(index),
    ):
        take(training(index, vocabulary, epochs=1, batch_size=3))


def test_a_shard_cut_while_in_use_is_named(tmp_path, vocabulary):
    index = write(tmp_path)
    for record, extra in ((3, 0), (2, 100)):
        cut = int(index.offsets[record]) + extra
        os.truncate(index.paths[record], cut)
        one = training(
            index.subset([record]), vocabulary, epochs=1, batch_size=1
        )
        with (
            pytest.raises(UserError, match=index.keys[record]) as caught,
            pipeline.readable_errors(index),
        ):
            take(one)
        assert str(index.paths[record]) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {schema.QUERY_ACTORS: [9] * 5},
        {schema.QUERY_TEXTS: []},
        {schema.HEIGHT: [b"a text"]},
        {schema.WIDTH: []},
        {schema.CLIP_FRAMES: [b""] * schema.CLIP_LENGTH},
        {schema.ACTOR_MASKS: [b""] * 5},
    ],
)
def test_wrong_fields_with_right_checksums_are_named(
    tmp_path, vocabulary, change
):
    index = write(tmp_path)
    last = np.flatnonzero(index.paths == index.paths[0])[-1]
    with open(index.paths[last], "r+b") as file:
        data = tfrecord.read(file, int(index.offsets[last]))
        fields = {**example_proto.decode_example(data), **change}
        file.truncate(int(index.offsets[last]))
        file.seek(0, os.SEEK_END)
        file.write(tfrecord.frame(example_proto.encode_example(fields)))
    one = training(index.subset([last]), vocabulary, epochs=1, batch_size=1)
    with (
        pytest.raises(UserError, match=index.keys[last]) as caught,
        pipeline.readable_errors(index.subset([last])),
    ):
        take(one)
    assert "\n" not in str(caught.value)


def test_readable_errors_leaves_other_errors_alone(index):
    with pytest.raises(tf.errors.InvalidArgumentError, match="other"):
        with pipeline.readable_errors(index):
            raise tf.errors.InvalidArgumentError(None, None, "other")


def test_corrupt_records_can_be_left_out(tmp_path, vocabulary):
    index = write(tmp_path)
    damage(index, 2)
    damage(index, 6)
    whole = records.read_index(tmp_path, "train", skip_corrupt=True)
    assert [bad.key for bad in whole.corrupt] == [index.keys[2], index.keys[6]]
    count = index.num_samples - index.queries[[2, 6]].sum()
    batches = take(training(whole, vocabulary, epochs=1, batch_size=1))
    assert sorted(b["sample"][0] for b in batches) == list(range(count))


def test_bad_arguments(index, vocabulary):
    with pytest.raises(ValueError, match="nearest are width 96 or 128"):
        training(index, vocabulary, width=100)
    with pytest.raises(ValueError, match="batch_size=4, workers=3"):
        training(index, vocabulary, workers=3)
    with pytest.raises(ValueError, match="worker=2, workers=2"):
        training(index, vocabulary, worker=2, workers=2)
    with pytest.raises(UserError, match=r"holds 21 samples.*batch of 22"):
        training(index, vocabulary, batch_size=22)
    with pytest.raises(ValueError, match="nearest are height 32"):
        pipeline.evaluation_dataset(
            index, vocabulary, height=1, width=96, batch_size=4
        )


def test_grouped_queries_follow_each_other(index, vocabulary):
    batches = take(
        training(index, vocabulary, batch_size=1, epochs=2, group_queries=True)
    )
    order = np.array([batch["sample"][0] for batch in batches])
    epochs = order.reshape(2, index.num_samples)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(len(epoch)))
        found = index.sample_records[epoch]
        assert np.count_nonzero(np.diff(found)) == len(index) - 1
    assert not np.array_equal(*epochs)


def test_grouped_order_can_be_resumed(index, vocabulary):
    arguments = {"epochs": 2, "group_queries": True}
    whole = take(training(index, vocabulary, **arguments))
    rest = take(training(index, vocabulary, start_step=7, **arguments))
    assert_same_batches(rest, whole[7:])
