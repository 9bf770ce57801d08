import dataclasses

import numpy as np
import pytest

from keras_vas.data import record_tensors
from keras_vas.data.records import example_proto, parsing, schema

HEIGHT, WIDTH = 24, 40


def make_frame(**changes):
    rng = np.random.default_rng(7)
    rows = np.arange(HEIGHT)[:, None]
    columns = np.arange(WIDTH)
    ramp = np.broadcast_to(rows * 4 + columns, (HEIGHT, WIDTH))
    clip = [
        np.stack([ramp + i, ramp, ramp // 2], -1).astype(np.uint8)
        for i in range(schema.CLIP_LENGTH)
    ]
    frame = schema.AnnotatedFrame(
        dataset="a_set",
        video_id="--odd,id",
        subset="test",
        frame_number=3,
        clip=clip,
        clip_frame_numbers=schema.clip_frame_numbers(3, 7),
        height=HEIGHT,
        width=WIDTH,
        actors=(
            schema.Actor("1", rng.random((HEIGHT, WIDTH)) > 0.5, "red", "run"),
            schema.Actor("14", rng.random((HEIGHT, WIDTH)) > 0.9),
            schema.Actor("é", np.ones((HEIGHT, WIDTH), bool)),
        ),
        queries=(
            schema.Query("  A dog, to the LEFT ", 1),
            schema.Query("ein Hündchen 犬", 2),
            schema.Query("", 1),
        ),
    )
    return dataclasses.replace(frame, **changes)


@pytest.mark.parametrize(
    ("frame", "num_frames", "expected"),
    [
        (20, 100, [12, 14, 16, 18, 20, 22, 24, 26]),
        (1, 100, [1, 1, 1, 1, 1, 3, 5, 7]),
        (4, 100, [1, 1, 1, 2, 4, 6, 8, 10]),
        (98, 100, [90, 92, 94, 96, 98, 100, 100, 100]),
        (1, 1, [1] * 8),
    ],
)
def test_every_index_of_a_clip_is_clamped_by_itself(
    frame, num_frames, expected
):
    numbers = schema.clip_frame_numbers(frame, num_frames)
    assert numbers == expected
    assert numbers[schema.TARGET_INDEX] == frame


@pytest.mark.parametrize("frame", [0, -1, 11])
def test_a_clip_outside_of_the_video_is_an_error(frame):
    with pytest.raises(ValueError, match=f"frame={frame}, num_frames=10"):
        schema.clip_frame_numbers(frame, 10)


def test_a_record_is_read_back_as_it_was_written():
    frame = make_frame()
    read = parsing.deserialize(schema.serialize(frame))
    assert read.key == "a_set/--odd,id/00003"
    for name in (
        "dataset",
        "video_id",
        "subset",
        "frame_number",
        "clip_frame_numbers",
        "height",
        "width",
        "queries",
    ):
        assert getattr(read, name) == getattr(frame, name), name
    assert len(read.actors) == 3
    for actor, expected in zip(read.actors, frame.actors, strict=True):
        assert actor.id == expected.id
        assert actor.look == expected.look
        assert actor.action == expected.action
        np.testing.assert_array_equal(actor.mask, expected.mask)
    assert len(read.clip) == 8
    for data, image in zip(read.clip, frame.clip, strict=True):
        error = schema.decode_jpeg(data).astype(int) - image
        assert np.abs(error).max() <= 6


def test_tensorflow_reads_the_same_eagerly_and_in_a_pipeline():
    import tensorflow as tf

    frame = make_frame()
    serialized = schema.serialize(frame)
    # TensorFlow's own message class is the judge of the bytes.
    message = tf.train.Example.FromString(serialized)
    stored = message.features.feature[schema.QUERY_TEXTS].bytes_list.value
    assert [text.decode() for text in stored] == [
        query.text for query in frame.queries
    ]
    dataset = tf.data.Dataset.from_tensors(serialized).map(record_tensors.parse)
    for parsed in (record_tensors.parse(serialized), next(iter(dataset))):
        assert len(parsed) == 16
        assert parsed["key"].numpy().decode() == frame.key
        assert parsed["subset"].numpy() == b"test"
        assert int(parsed["schema_version"]) == schema.SCHEMA_VERSION
        assert int(parsed["frame_number"]) == 3
        assert (int(parsed["height"]), int(parsed["width"])) == (24, 40)
        assert parsed["clip_frame_numbers"].numpy().tolist() == [
            *(1, 1, 1, 1),
            *(3, 5, 7, 7),
        ]
        assert parsed["query_actors"].numpy().tolist() == [1, 2, 1]
        texts = [text.decode() for text in parsed["query_texts"].numpy()]
        assert texts == [query.text for query in frame.queries]
        looks = parsed["actor_looks"].numpy().tolist()
        assert looks == [b"red", b"", b""]
        assert parsed["actor_actions"].numpy().tolist() == [b"run", b"", b""]
        for data, actor in zip(
            parsed["actor_masks"], frame.actors, strict=True
        ):
            mask = tf.io.decode_png(data).numpy()
            assert mask.shape == (HEIGHT, WIDTH, 1)
            assert set(np.unique(mask)) <= {0, 255}
            np.testing.assert_array_equal(mask[..., 0] > 0, actor.mask)
        target = tf.io.decode_jpeg(parsed["clip_frames"][schema.TARGET_INDEX])
        error = target.numpy().astype(int) - frame.clip[schema.TARGET_INDEX]
        assert np.abs(error).max() <= 6


def test_a_record_without_actors_parses():
    serialized = schema.serialize(make_frame(actors=(), queries=()))
    parsed = record_tensors.parse(serialized)
    assert parsed["actor_ids"].shape == (0,)
    assert parsed["query_actors"].shape == (0,)
    assert parsing.deserialize(serialized).queries == ()


def test_another_schema_version_is_an_error():
    import tensorflow as tf

    fields = example_proto.decode_example(schema.serialize(make_frame()))
    fields[schema.SCHEMA_VERSION_FIELD] = [2]
    # A later version may well lack fields of this one.
    del fields[schema.QUERY_ACTORS], fields[schema.HEIGHT]
    serialized = example_proto.encode_example(fields)
    dataset = tf.data.Dataset.from_tensors(serialized).map(record_tensors.parse)
    with pytest.raises(tf.errors.InvalidArgumentError, match="schema version"):
        record_tensors.parse(serialized)
    with pytest.raises(tf.errors.InvalidArgumentError, match="schema version"):
        next(iter(dataset))
    with pytest.raises(ValueError, match="schema_version=2"):
        parsing.deserialize(serialized)


def test_a_record_without_a_field_is_an_error():
    fields = example_proto.decode_example(schema.serialize(make_frame()))
    del fields[schema.HEIGHT]
    with pytest.raises(ValueError, match="height"):
        parsing.deserialize(example_proto.encode_example(fields))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "valid"}, "subset=valid"),
        ({"clip": [b""] * 7}, "clip must hold 8 items. Received: length=7"),
        ({"clip": [np.zeros((40, 24, 3), np.uint8)] * 8}, "shape="),
        ({"clip": [np.zeros((24, 40, 3), np.float32)] * 8}, "dtype=float32"),
        ({"actors": (schema.Actor("1", np.ones((2, 2), bool)),)}, "mask"),
        (
            {"actors": (schema.Actor("1", np.ones((24, 40), bool)),) * 2},
            "differ in id",
        ),
        ({"queries": (schema.Query("a", 3),)}, "actor=3, actors=3"),
        ({"queries": (schema.Query("a", -1),)}, "actor=-1"),
    ],
)
def test_parts_that_do_not_fit_together_are_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        schema.serialize(make_frame(**changes))


def test_ready_jpegs_are_stored_unchanged():
    jpegs = [bytes([255, 216, i]) for i in range(8)]
    assert parsing.deserialize(
        schema.serialize(make_frame(clip=jpegs))
    ).clip == jpegs  # fmt: skip


def test_whole_numbers_of_every_size_survive():
    numbers = [0, 1, 127, 128, -1, 2**63 - 1, -(2**63)]
    encoded = example_proto.encode_example({"numbers": numbers, "none": []})
    assert example_proto.decode_example(encoded) == {
        "numbers": numbers,
        "none": [],
    }


@pytest.mark.parametrize("cut", [1, 7, 40, 400])
def test_a_message_that_is_cut_short_is_a_value_error(cut):
    serialized = schema.serialize(make_frame())
    with pytest.raises(ValueError, match=r"."):
        parsing.deserialize(serialized[:-cut])
