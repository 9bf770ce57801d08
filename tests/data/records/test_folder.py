"""What a converter may remove, and what it refuses."""

import os
import signal
import subprocess
import sys

import pytest
from written_records import VIDEOS, contents, convert, write

from keras_vas import errors, files
from keras_vas.data import records

MINE = [
    ".claude.json", ".notes.csv", ".mine.tfrecord", "excluded.csv",
    "thesis.txt", "train-00000-of-00009.tfrecord", "test.index.csv",
    ".keras_vas.json", ".unfinished", "train.index.csv/notes.txt",
    ".keras_vas-unfinished/notes.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", MINE)
def test_a_folder_with_a_users_file_is_refused_and_left_as_it_is(
    tmp_path, name
):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(errors.UserError) as caught:
        write(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert path.read_text() == "mine"
    assert [x for x in tmp_path.rglob("*") if x.is_file()] == [path]


@pytest.mark.parametrize("name", [".claude.json", "mine.tfrecord"])
def test_records_that_a_user_has_put_files_beside_stay(copy, name):
    (copy / name).write_text("mine")
    before = contents(copy)
    assert write(copy)["dataset"] == "small"
    with pytest.raises(errors.UserError, match=f"something else .{name}"):
        write(copy, shards={"train": 2, "test": 1})
    assert contents(copy) == before


def test_records_of_another_data_set_stay(copy):
    before = contents(copy)
    with pytest.raises(errors.UserError, match="holds the records of small"):
        records.write_dataset(
            copy,
            "large",
            VIDEOS,
            convert,
            workers=1,
            shards={"train": 1, "test": 1},
            source_fingerprint="x",
        )
    assert contents(copy) == before


@pytest.mark.parametrize(
    "content", ['{"name": "a web page"}', "{", "[]", "null", "\xff"]
)
def test_a_manifest_of_something_else_stays(copy, content):
    (copy / "manifest.json").write_text(content, encoding="latin-1")
    before = contents(copy)
    with pytest.raises(errors.UserError, match=r"manifest\.json is no"):
        write(copy)
    assert contents(copy) == before


KILLED = """
import functools, os, sys
import written_records as t
def convert(video_id, split):
    if video_id == "train_5":
        os.kill(os.getpid(), 9)
    return t.convert(video_id, split)
t.write(sys.argv[1], convert=convert, source_fingerprint=sys.argv[2])
"""


@pytest.fixture
def kill(repository, tmp_path_factory):
    """Writes to a folder until video train_5, and is killed there."""
    program = tmp_path_factory.mktemp("program") / "killed.py"
    program.write_text(KILLED)
    helpers = repository / "tests" / "helpers"

    def run(folder, source):
        done = subprocess.run(
            [sys.executable, program, folder, source],
            env=os.environ | {"PYTHONPATH": f"{repository}:{helpers}"},
        )
        assert done.returncode == -signal.SIGKILL

    return run


def test_a_killed_run_is_replaced_by_another(kill, dataset, tmp_path):
    kill(tmp_path, "other sources")
    assert (tmp_path / files.UNFINISHED).is_dir()
    temporary = [x for x in tmp_path.iterdir() if x.name.startswith(".train")]
    assert len(temporary) == 1
    assert len(list(tmp_path.glob("train-*.tfrecord"))) == 2
    write(tmp_path, shards={"train": 1, "test": 1})
    assert sorted(contents(tmp_path)) == [
        "excluded.csv", "manifest.json", "test-00000-of-00001.tfrecord",
        "test.index.csv", "train-00000-of-00001.tfrecord", "train.index.csv",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == sorted(contents(tmp_path))
    write(tmp_path)
    assert contents(tmp_path) == contents(dataset)


def test_a_users_file_beside_a_killed_run_is_refused(kill, tmp_path):
    kill(tmp_path, "x")
    (tmp_path / ".claude.json").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(errors.UserError, match="something else"):
        write(tmp_path)
    del before[".keras_vas-lock"]
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"made_by": "somebody", "files": ["excluded.csv"]}',
        '{"made_by": "keras_vas records"}',
        '{"made_by": "keras_vas records", "files": ["../mine", "mine", ".."]}',
    ],
)
def test_a_journal_of_something_else_removes_nothing(tmp_path, content):
    output = tmp_path / "out"
    state = output / files.UNFINISHED
    state.mkdir(parents=True)
    (state / "journal.json").write_text(content)
    for path in (tmp_path / "mine", output / "mine", output / "excluded.csv"):
        path.write_text("mine")
    with pytest.raises(errors.UserError):
        write(output)
    for path in (tmp_path / "mine", output / "mine", output / "excluded.csv"):
        assert path.read_text() == "mine"


def test_a_shard_that_is_a_link_is_replaced_and_its_target_stays(
    copy, tmp_path
):
    target = tmp_path / "target"
    path = copy / "test-00000-of-00003.tfrecord"
    path.rename(target)
    path.symlink_to(target)
    before = target.read_bytes()
    write(copy, source_fingerprint="changed")
    assert target.read_bytes() == path.read_bytes() == before
    assert not path.is_symlink()
