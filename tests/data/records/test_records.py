import csv
import errno
import functools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import patience
import pytest
from written_records import VIDEOS, contents, convert, write

from keras_vas import errors, files
from keras_vas.data import record_tensors, records
from keras_vas.data.records import schema, tfrecord


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write(folder, excluded=[("known before", "a, b")])
    return folder


@pytest.fixture
def copy(dataset, tmp_path):
    for path in dataset.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_manifest_counts_and_names(dataset):
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["version"] == schema.SCHEMA_VERSION
    assert manifest["dataset"] == "small"
    counts = {
        split: {k: v for k, v in entry.items() if k != "shards"}
        for split, entry in manifest["splits"].items()
    }
    assert counts == {
        "train": {"videos": 7, "frames": 14, "queries": 14, "samples": 21},
        "test": {"videos": 3, "frames": 6, "queries": 6, "samples": 9},
    }
    assert manifest["excluded"] == {"known before": 1, "left out": 10}
    with open(dataset / "excluded.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["reason", "item"], ["known before", "a, b"]]
    assert len(rows) == 12
    names = [s["name"] for s in manifest["splits"]["train"]["shards"]]
    assert names == [f"train-{i:05d}-of-00003.tfrecord" for i in range(3)]
    assert len(manifest["splits"]["test"]["shards"]) == 3
    assert not [p for p in dataset.iterdir() if p.name.startswith(".")]


def test_every_record_of_every_shard_is_read_by_tensorflow(dataset):
    import tensorflow as tf

    keys = []
    for split in VIDEOS:
        index = records.read_index(dataset, split)
        paths = sorted(str(p) for p in dataset.glob(f"{split}-*"))
        streamed = [
            record_tensors.parse(data)
            for data in tf.data.TFRecordDataset(paths)
        ]
        assert [r["key"].numpy().decode() for r in streamed] == list(index.keys)
        for i, record in enumerate(streamed):
            assert record["subset"].numpy().decode() == split
            assert len(record["query_texts"]) == index.queries[i]
            with open(index.paths[i], "rb") as file:
                data = tfrecord.read(file, int(index.offsets[i]))
            again = record_tensors.parse(data)
            assert again["key"] == record["key"]
            assert index.read(i).key == index.keys[i]
        keys += list(index.keys)
    assert len(keys) == len(set(keys)) == 20


def test_samples_are_the_pairs_of_record_and_query(dataset):
    index = records.read_index(dataset, "train")
    expected = [
        f"{key}/{query}"
        for key, queries in zip(index.keys, index.queries, strict=True)
        for query in range(queries)
    ]
    assert index.num_samples == len(expected) == 21
    assert [v.removeprefix("small/train_") for v in index.videos] == [
        key.split("/")[1].removeprefix("train_") for key in index.keys
    ]
    assert index.sample_ids == expected
    part = index.subset(np.array([4, 1]))
    assert list(part.keys) == [index.keys[4], index.keys[1]]
    assert part.read(0).key == index.keys[4]


def test_the_bytes_do_not_depend_on_workers_or_order(dataset, tmp_path):
    shuffled = {split: ids[::-1] for split, ids in VIDEOS.items()}
    write(
        tmp_path,
        workers=2,
        videos=shuffled,
        excluded=[("known before", "a, b")],
    )
    ours, theirs = contents(dataset), contents(tmp_path)
    assert len(ours) == 10
    del ours["manifest.json"], theirs["manifest.json"]
    assert ours == theirs


def test_a_complete_data_set_is_not_written_again(copy):
    before = {p.name: p.stat().st_mtime_ns for p in copy.iterdir()}
    manifest = write(copy, excluded=[("known before", "a, b")])
    assert manifest["splits"]["train"]["samples"] == 21
    assert {p.name: p.stat().st_mtime_ns for p in copy.iterdir()} == before


def test_other_sources_or_arguments_begin_anew(copy, capsys):
    write(copy, shards={"train": 2, "test": 1})
    assert "writing it anew" in capsys.readouterr().out
    names = sorted(p.name for p in copy.glob("*.tfrecord"))
    assert names == [
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]
    assert records.read_index(copy, "train").num_samples == 21
    assert records.verify(copy, "train") == []


def test_a_split_without_videos_is_left_out(tmp_path):
    manifest = write(tmp_path, videos={"train": [], "test": ["a", "b"]})
    assert list(manifest["splits"]) == ["test"]
    with pytest.raises(errors.UserError, match="no train split; it has: test"):
        records.read_index(tmp_path, "train")


def test_no_samples_is_an_error_that_counts_the_reasons(tmp_path):
    nothing = functools.partial(convert, empty=VIDEOS["test"])
    with pytest.raises(
        errors.UserError, match=r"test split has no samples; .*3 nothing in it"
    ):
        write(tmp_path, convert=nothing)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({"train": [], "test": []}, "no video"),
        ({"train": ["a"], "test": ["b", "a"]}, "listed twice, the first: a"),
    ],
)
def test_unusable_lists_of_videos(tmp_path, videos, message):
    with pytest.raises(errors.UserError, match=message):
        write(tmp_path, videos=videos)


def twice(video_id, split):
    return records.Conversion(convert(video_id, split).frames * 2)


def test_a_duplicate_key_is_an_error(tmp_path):
    with pytest.raises(errors.UserError, match=r"small/.*occurs 2 times"):
        write(tmp_path, convert=twice)


def test_frames_of_another_video_are_an_error(tmp_path):
    wrong = functools.partial(_other_video)
    with pytest.raises(ValueError, match="other_video"):
        write(tmp_path, convert=wrong)


def _other_video(video_id, split):
    return convert("other_video", split)


@pytest.mark.parametrize(
    "changes", [{"workers": 0}, {"shards": {"train": 0, "test": 1}}]
)
def test_less_than_one_worker_or_shard_is_an_error(tmp_path, changes):
    with pytest.raises(ValueError, match="must be 1 or more"):
        write(tmp_path, **changes)


def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    written = []

    def frame(data):
        written.append(data)
        if len(written) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(data)

    original = tfrecord.frame
    monkeypatch.setattr(tfrecord, "frame", frame)
    with pytest.raises(OSError, match=r"No space left .*train-00001") as caught:
        write(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    finished = list(tmp_path.glob("*.tfrecord"))
    assert [p.name for p in finished] == ["train-00000-of-00003.tfrecord"]
    assert not list(tmp_path.glob(".*.tfrecord"))
    time_of_first = finished[0].stat().st_mtime_ns
    monkeypatch.undo()
    write(tmp_path)
    assert finished[0].stat().st_mtime_ns == time_of_first
    assert records.verify(tmp_path, "train") == []
    assert records.verify(tmp_path, "test") == []


def _die(video_id, split):
    if video_id == "train_3":
        os._exit(9)
    return convert(video_id, split)


def test_a_dead_worker_is_reported_with_its_video(tmp_path):
    with pytest.raises(errors.UserError, match=r"train_3.*fewer --workers"):
        write(tmp_path, convert=_die, workers=2, shards={"train": 7, "test": 1})


PROGRAM = """
import functools, sys
sys.path[:0] = {paths!r}
import written_records as t
if __name__ == "__main__":
    t.write(sys.argv[1], workers=2, shards={{"train": 7, "test": 3}},
            convert=functools.partial(t.convert, pause=0.3))
"""


def test_a_killed_run_leaves_whole_shards_and_is_continued(
    repository, tmp_path
):
    program = tmp_path / "program.py"
    paths = [str(repository / "tests" / "helpers"), str(repository)]
    program.write_text(PROGRAM.format(paths=paths))
    output = tmp_path / "records"
    command = [sys.executable, str(program), str(output)]
    process = subprocess.Popen(
        command, start_new_session=True, env=os.environ | {"PYTHONPATH": ""}
    )
    state = output / files.UNFINISHED
    deadline = time.monotonic() + patience.SECONDS
    while len(list(state.glob("t*.json"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_for_end_of_group(process.pid)
    assert not (output / "manifest.json").exists()
    finished = {
        p: p.stat().st_mtime_ns
        for p in output.glob("*.tfrecord")
        if not p.name.startswith(".")
    }
    assert 3 <= len(finished) < 10
    for path in finished:
        offset = 0
        with open(path, "rb") as file:
            while (data := tfrecord.read(file, offset)) is not None:
                offset += len(tfrecord.frame(data))
        assert offset == path.stat().st_size > 0
    kept = [path for path in finished if (state / f"{path.name}.json").exists()]
    subprocess.run(command, check=True)
    assert len(kept) >= 3
    for path in kept:
        assert path.stat().st_mtime_ns == finished[path]
    undisturbed = tmp_path / "undisturbed"
    write(undisturbed, shards={"train": 7, "test": 3})
    ours, theirs = contents(output), contents(undisturbed)
    assert len(ours) == 14
    # The manifests differ in the fingerprint of the pause.
    del ours["manifest.json"], theirs["manifest.json"]
    assert ours == theirs


def _wait_for_end_of_group(group):
    deadline = time.monotonic() + patience.SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("workers outlived their parent")


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    def convert_within(video_id, split):
        with pytest.raises(errors.UserError, match="another process"):
            write(tmp_path)
        refused.append(video_id)
        return convert(video_id, split)

    refused = []
    write(tmp_path, convert=convert_within)
    assert len(refused) == 10


def test_a_truncated_shard_is_named_and_can_be_skipped(copy):
    path = sorted(copy.glob("train-*"))[1]
    whole = records.read_index(copy, "train")
    inside = whole.paths == str(path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size - 10])
    with pytest.raises(
        errors.UserError,
        match=f"{path.name} is truncated: it has {size - 10} of {size} bytes",
    ):
        records.read_index(copy, "train")
    index = records.read_index(copy, "train", skip_corrupt=True)
    lost = whole.keys[np.flatnonzero(inside)[-1]]
    assert [(r.key, r.reason) for r in index.corrupt] == [
        (lost, "the file ends within the record")
    ]
    assert index.corrupt[0].shard == str(path)
    assert len(index) == len(whole) - 1
    assert lost not in index.keys
    assert records.read_index(copy, "test").num_samples == 9


def test_flipped_bits_are_found_record_by_record(copy):
    index = records.read_index(copy, "train")
    for record in (2, 9):
        with open(index.paths[record], "r+b") as file:
            file.seek(index.offsets[record] + 100)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
    corrupt = records.verify(copy, "train")
    assert [r.key for r in corrupt] == [index.keys[2], index.keys[9]]
    error = records.corruption_error(index)
    assert str(error).startswith("2 corrupt record(s) in the train split")
    assert index.keys[2] in str(error)
    assert records.corruption_error(records.read_index(copy, "test")) is None
    with pytest.raises(errors.UserError, match=f"record {index.keys[2]}"):
        index.read(2)
    assert index.read(3).key == index.keys[3]
    skipping = records.read_index(copy, "train", skip_corrupt=True)
    assert len(skipping) == 12


def test_a_missing_shard_is_named(copy):
    path = sorted(copy.glob("test-*"))[0]
    path.unlink()
    with pytest.raises(errors.UserError, match=f"{path.name} is missing"):
        records.read_index(copy, "test")
    index = records.read_index(copy, "test", skip_corrupt=True)
    assert len(index) == 4
    assert {r.reason for r in index.corrupt} == {"the file is missing"}


def test_nothing_left_after_skipping_is_an_error(copy):
    for path in copy.glob("test-*"):
        path.write_bytes(b"")
    with pytest.raises(errors.UserError, match="no record of the test split"):
        records.read_index(copy, "test", skip_corrupt=True)


def test_another_schema_version_is_an_error(copy, monkeypatch):
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    with pytest.raises(errors.UserError, match="schema version 1, but this"):
        records.read_index(copy, "train")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["version"] = 2
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert len(records.verify(copy, "train")) == 14
    assert "schema_version=1" in records.verify(copy, "train")[0].reason


def test_a_missing_folder_is_a_user_error(tmp_path):
    with pytest.raises(errors.UserError, match="there is no folder"):
        records.read_index(tmp_path / "nowhere", "train")


def test_converters_do_not_load_tensorflow():
    program = (
        "import sys\n"
        "from keras_vas.data import records\n"
        "from keras_vas.data.records import source_files\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
