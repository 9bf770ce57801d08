"""Lists that were edited, and wrong records with right checksums."""

import copy as copying
import json
import pathlib
import random

import cv2
import numpy as np
import pytest
from written_records import SIZE

from keras_vas import errors
from keras_vas.data import records
from keras_vas.data.records import example_proto, schema, tfrecord


def problem(read):
    """The message if there is a problem, which must be one line."""
    try:
        read()
    except errors.UserError as error:
        return str(error)
    return None


HEADER = "key,shard,offset,queries\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", "{", "is no JSON text"),
        ("manifest.json", "[]", "is no manifest"),
        ("manifest.json", '{"version": 1, "splits": []}', "is no manifest"),
        ("manifest.json", '{"version": "1"}', "is no manifest"),
        ("manifest.json", None, "there is no file .*; write the records again"),
        ("train.index.csv", None, "is missing or damaged"),
        ("train.index.csv", "", "is missing or damaged"),
        ("train.index.csv", HEADER, "is missing or damaged"),
        ("train.index.csv", "key,shard\na,b\n", "is missing or damaged"),
        ("train.index.csv", HEADER + "a,b,0\n", "is missing or damaged"),
        ("train.index.csv", HEADER + "a,b,x,1\n", "is missing or damaged"),
        ("train.index.csv", HEADER + f"a,b,{9**30},1\n", "is missing or dam"),
        ("train.index.csv", HEADER + "a" * 9**6 + ",b,0,1", "is missing or"),
        ("train.index.csv", HEADER + '"a,b,0,1\n', "is missing or damaged"),
        ("train.index.csv", HEADER + "a,b,0,1\n", "does not agree"),
    ],
)
def test_damaged_lists_are_user_errors(copy, name, content, message):
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(content)
    with pytest.raises(errors.UserError, match=message):
        records.read_index(copy, "train")


def read_all(folder, split):
    index = records.read_index(folder, split)
    for record in range(len(index)):
        assert pathlib.Path(index.paths[record]).parent == folder
        index.read(record)


def places(content, path=()):
    """The path of every value of a JSON document."""
    yield path
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


VALUES = (None, True, -1, 0, 10**30, 1.5, "", "../x", [], ["a"], {}, {"a": 1})


def test_no_edit_of_the_manifest_is_more_than_one_line(copy):
    path = copy / "manifest.json"
    whole = json.loads(path.read_text())
    refused = tried = 0
    for place in places(whole):
        for value in VALUES:
            edited = copying.deepcopy([whole])
            *way, last = [0, *place]
            parent = edited
            for key in way:
                parent = parent[key]
            parent[last] = value
            path.write_text(json.dumps(edited[0]))
            tried += 1
            message = problem(lambda: records.read_index(copy, "train"))
            if message is not None:
                assert "\n" not in message
                refused += 1
    assert tried > 500
    assert refused > 0.8 * tried


def test_no_edit_of_an_index_leads_elsewhere_or_is_more_than_one_line(copy):
    path = copy / "train.index.csv"
    lines = path.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    other = "test-00000-of-00003.tfrecord"
    values = (
        *("", "-1", "0", "7", str(2**63), "1.5", "x", "/etc/passwd", "\0"),
        *("../x", other, rows[2][0], rows[2][1], '"', "\u00e9"),
    )
    refused = tried = 0
    for row in (1, 7, 14):
        for column in range(4):
            for value in values:
                edited = copying.deepcopy(rows)
                edited[row][column] = value
                path.write_text("\n".join(map(",".join, edited)) + "\n")
                tried += 1
                message = problem(lambda: read_all(copy, "train"))
                if message is not None:
                    assert "\n" not in message
                    refused += 1
    for row in (1, 14):
        path.write_text("\n".join(lines[:row] + lines[row + 1 :]) + "\n")
        with pytest.raises(errors.UserError, match="does not agree"):
            records.read_index(copy, "train")
    # The same value again, and the row's own shard, are no edit.
    assert tried - refused < 0.1 * tried


def rewrite(folder, change):
    """Changes the fields of the first test record, with right checksums."""
    index = records.read_index(folder, "test")
    path = pathlib.Path(index.paths[0])
    with open(path, "rb") as file:
        data = tfrecord.read(file, 0)
        rest = path.read_bytes()[file.tell() :]
    fields = example_proto.decode_example(data)
    change(fields)
    changed = tfrecord.frame(example_proto.encode_example(fields))
    path.write_bytes(changed + rest)
    manifest = json.loads((folder / "manifest.json").read_text())
    shard = manifest["splits"]["test"]["shards"][0]
    grown = len(changed) + len(rest) - shard["bytes"]
    shard["bytes"] += grown
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = (folder / "test.index.csv").read_text()
    second = int(index.offsets[1])
    text = text.replace(f",{second},", f",{second + grown},", 1)
    (folder / "test.index.csv").write_text(text)
    return index.keys[0]


def png(size):
    return cv2.imencode(".png", np.zeros(size, np.uint8))[1].tobytes()


def jpeg(size):
    return schema.encode_jpeg(np.zeros((*size, 3), np.uint8))


WRONG = {
    "a number for a text": {schema.KEY: [3]},
    "a text for a number": {schema.HEIGHT: [b"16"]},
    "another height": {schema.HEIGHT: [17]},
    "a negative height": {schema.HEIGHT: [-16]},
    "no width": {schema.WIDTH: []},
    "two widths": {schema.WIDTH: [24, 24]},
    "no UTF-8": {schema.QUERY_TEXTS: [b"\xff"]},
    "too many sentences": {schema.QUERY_TEXTS: [b"a", b"b"]},
    "an actor that is not there": {schema.QUERY_ACTORS: [2]},
    "an actor before the first": {schema.QUERY_ACTORS: [-1]},
    "another split": {schema.SUBSET: [b"validation"]},
    "another video": {schema.VIDEO_ID: [b"other"]},
    "seven frames": {schema.CLIP_FRAMES: [jpeg(SIZE)] * 7},
    "frames that are none": {schema.CLIP_FRAMES: [b"no JPEG"] * 8},
    "frames without bytes": {schema.CLIP_FRAMES: [b""] * 8},
    "frames of other size": {schema.CLIP_FRAMES: [jpeg((9, 9))] * 8},
    "masks that are none": {schema.ACTOR_MASKS: [b"no PNG"] * 2},
    "masks without bytes": {schema.ACTOR_MASKS: [b""] * 2},
    "masks of other size": {schema.ACTOR_MASKS: [png((9, 9))] * 2},
    "one mask of two": {schema.ACTOR_MASKS: [png(SIZE)]},
    "one actor twice": {schema.ACTOR_IDS: [b"0", b"0"]},
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_fields_under_right_checksums_are_one_line(copy, what):
    key = rewrite(copy, lambda fields: fields.update(WRONG[what]))
    index = records.read_index(copy, "test")
    assert [r.key for r in records.verify(copy, "test")] == [key]
    error = records.corruption_error(index)
    assert key in str(error)
    assert "\n" not in str(error)
    if "frames" not in what or "seven" in what:
        with pytest.raises(errors.UserError, match=f"record {key}"):
            index.read(0)
    rest = records.read_index(copy, "test", skip_corrupt=True)
    assert len(rest) == len(index) - 1
    assert rest.read(0).key == index.keys[1]


@pytest.mark.parametrize("name", sorted(schema.FIELDS))
def test_a_missing_field_is_one_line(copy, name):
    key = rewrite(copy, lambda fields: fields.pop(name))
    with pytest.raises(errors.UserError, match=f"record {key}"):
        records.read_index(copy, "test").read(0)


def test_flips_of_whole_folders_are_found_or_harmless(dataset, copy):
    """A bit in any file of the records, 300 times."""
    rng = random.Random(4)
    names = sorted(path.name for path in dataset.iterdir())
    found = 0
    for _ in range(300):
        path = copy / rng.choice(names)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        message = problem(
            lambda: (read_all(copy, "train"), read_all(copy, "test"))
        )
        if message is not None:
            assert "\n" not in message
            found += 1
        path.write_bytes(whole)
    # Counts that nothing depends on, digests, fingerprint and excluded.csv
    # are left.
    assert found > 200
