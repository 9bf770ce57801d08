"""Writing complete records again mends what is damaged, and nothing else."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from written_records import contents, write

from keras_vas.data.records import mending


def flip(path):
    data = bytearray(path.read_bytes())
    place = np.random.default_rng(len(data)).integers(len(data))
    data[place] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("damage", [flip, cut, remove, empty])
@pytest.mark.parametrize(
    "names",
    [
        ["train-00001-of-00003.tfrecord"],
        ["test-00000-of-00003.tfrecord", "train-00002-of-00003.tfrecord"],
        ["train.index.csv"],
        ["test.index.csv", "train-00000-of-00003.tfrecord"],
    ],
)
def test_what_is_damaged_is_mended_and_nothing_else(
    dataset, copy, capsys, damage, names
):
    for name in names:
        damage(copy / name)
    before = times(copy)
    write(copy)
    assert contents(copy) == contents(dataset)
    after = times(copy)
    assert {x for x in after if after[x] != before.get(x)} == set(names)
    told = capsys.readouterr().out
    shards = sum(name.endswith(".tfrecord") for name in names)
    assert (f"{shards} damaged shard(s)" in told) == bool(shards)
    for name in names:
        assert name.endswith(".tfrecord") or name in told
    write(copy)
    assert capsys.readouterr().out == ""
    assert times(copy) == after


def test_an_edited_index_is_written_again(dataset, copy):
    path = copy / "train.index.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    write(copy)
    assert contents(copy) == contents(dataset)


def test_large_records_are_read_again_on_demand(
    dataset, copy, monkeypatch, capsys
):
    monkeypatch.setattr(mending, "VERIFIED_BYTES", 1000)
    path = copy / "test-00001-of-00003.tfrecord"
    flip(path)
    before = path.read_bytes()
    write(copy)
    write(copy, verify=False)
    assert path.read_bytes() == before
    assert capsys.readouterr().out == ""
    cut(copy / "train-00001-of-00003.tfrecord")
    remove(copy / "train.index.csv")
    write(copy)
    assert contents(copy) == contents(dataset)
    flip(path)
    write(copy)
    assert path.read_bytes() == before
    write(copy, verify=True)
    assert contents(copy) == contents(dataset)


@pytest.mark.parametrize("damage", [flip, cut, remove])
def test_a_damaged_list_of_exclusions_costs_everything(
    dataset, copy, capsys, damage
):
    path = copy / "excluded.csv"
    if damage is flip:
        path.write_text(path.read_text().replace("left out", "left in", 1))
    else:
        damage(path)
    write(copy)
    assert "writing it anew" in capsys.readouterr().out
    assert contents(copy) == contents(dataset)


KILLED = """
import os, sys
import written_records as t
from keras_vas.data.records import mending, shard
real = shard.write
def write(*arguments):
    if "train-00002" in arguments[0].name:
        os.kill(os.getpid(), 9)
    return real(*arguments)
shard.write = write
t.write(sys.argv[1])
"""


def test_mending_that_was_killed_goes_on(repository, dataset, copy):
    damaged = [copy / f"train-0000{i}-of-00003.tfrecord" for i in (0, 2)]
    for path in damaged:
        flip(path)
    helpers = repository / "tests" / "helpers"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(copy)],
        env=os.environ | {"PYTHONPATH": f"{repository}:{helpers}"},
    )
    assert done.returncode == -signal.SIGKILL
    flip(damaged[0])
    write(copy)
    assert contents(copy) == contents(dataset)
    assert sorted(os.listdir(copy)) == sorted(os.listdir(dataset))
