"""build_moving_actors.py: run as a user runs it, and read back."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_vas.data import records
from keras_vas.data.moving_actors import drawing
from keras_vas.data.records import schema
from keras_vas.video.reader import open_video

SMALL = ("--train_clips=12", "--test_clips=5", "--height=64", "--width=96")


def build(repository, output, *options):
    return run(repository, "tfrecords/build_moving_actors.py", output, options)


def run(repository, program, output, options):
    return subprocess.run(
        [
            sys.executable,
            *program.split(),
            f"--output={output}",
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        check=False,
    )


def read(directory, split):
    index = records.read_index(directory, split)
    return [index.read(record) for record in range(len(index))]


@pytest.fixture(scope="module")
def built(repository, tmp_path_factory):
    output = tmp_path_factory.mktemp("moving") / "records"
    result = build(repository, output, *SMALL, "--seed=3", "--workers=2")
    assert result.returncode == 0, result.stderr
    return output, result


def test_counts(built):
    output, result = built
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["dataset"] == "moving_actors"
    assert manifest["excluded"] == {}
    for split, clips in (("train", 12), ("test", 5)):
        counts = manifest["splits"][split]
        drawn = [drawing.draw_clip(3, split, i) for i in range(clips)]
        sentences = sum(len(c.sentences) for c in drawn)
        assert counts["videos"] == counts["frames"] == clips
        assert counts["queries"] == counts["samples"] == sentences
        row = next(
            line.split()
            for line in result.stdout.splitlines()
            if line.startswith(split)
        )
        numbers = [clips, clips, sentences, sentences]
        assert row[1:] == [str(number) for number in numbers]


def test_records_hold_the_clips(built):
    output, _ = built
    for split, clips in (("train", 12), ("test", 5)):
        frames = read(output, split)
        names = {f"{split}-{i:06d}" for i in range(clips)}
        assert {frame.video_id for frame in frames} == names
        for frame in frames:
            index = int(frame.video_id[-6:])
            clip = drawing.draw_clip(3, split, index, height=64, width=96)
            assert frame.subset == split
            assert (frame.height, frame.width) == (64, 96)
            assert [q.text for q in frame.queries] == [
                s.text for s in clip.sentences
            ]
            assert [a.look for a in frame.actors] == list(clip.looks)
            assert [a.action for a in frame.actors] == list(clip.actions)
            for actor, mask in zip(frame.actors, clip.masks, strict=True):
                np.testing.assert_array_equal(actor.mask, mask)
            for data, image in zip(frame.clip, clip.frames, strict=True):
                assert data == schema.encode_jpeg(image)


def test_same_bytes_whatever_the_workers(built, repository, tmp_path):
    output, _ = built
    result = build(repository, tmp_path, *SMALL, "--seed=3", "--workers=1")
    assert result.returncode == 0, result.stderr
    shards = sorted(path.name for path in output.glob("*.tfrecord"))
    assert len(shards) == 8 + 2
    for name in shards:
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--train_clips=0", "train_clips"),
        ("--height=16", "height"),
        ("--seed=-1", "seed"),
        ("--clips=3", "clips"),
        ("--train_clips=99999999999", "train_clips"),
        ("--width=99999", "width"),
        ("extra", "extra"),
    ],
)
def test_bad_flags_are_one_line(repository, tmp_path, option, named):
    output = tmp_path / "records"
    result = build(repository, output, option)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert not output.exists()


def test_a_folder_of_something_else_is_one_line(repository, tmp_path):
    for name in (".claude.json", ".notes.csv"):
        (tmp_path / name).write_text("mine")
    result = build(repository, tmp_path, *SMALL)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path} holds something else")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".claude.json",
        ".notes.csv",
    ]


def test_complete_records_are_verified_and_mended(built, repository, tmp_path):
    output = shutil.copytree(built[0], tmp_path / "records")
    shard = output / "train-00003-of-00008.tfrecord"
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    damaged[1000] ^= 1
    shard.write_bytes(damaged)
    options = (*SMALL, "--seed=3", "--workers=1")
    result = build(repository, output, *options, "--noverify")
    assert result.returncode == 0, result.stderr
    assert shard.read_bytes() == damaged
    result = build(repository, output, *options, "--verify")
    assert result.returncode == 0, result.stderr
    assert "1 damaged shard(s)" in result.stdout
    assert shard.read_bytes() == whole


def test_output_that_is_a_file_is_one_line(repository, tmp_path):
    output = tmp_path / "records"
    output.write_text("mine")
    result = build(repository, output, *SMALL)
    assert result.returncode == 1
    assert str(output) in result.stderr
    assert "Traceback" not in result.stderr
    assert output.read_text() == "mine"


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_records_are_made_anew_when_their_bytes_would_change_and_only_then(
    repository, tmp_path
):
    for name in ("keras_vas", "tfrecords"):
        shutil.copytree(
            repository / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    output = tmp_path / "records"
    data = tmp_path / "keras_vas" / "data"
    schema_file = data / "records" / "schema.py"

    def digests():
        done = build(tmp_path, output, *SMALL, "--workers=1")
        assert done.returncode == 0, done.stderr
        manifest = json.loads((output / "manifest.json").read_text())
        return {
            shard["name"]: (
                shard["sha256"],
                (output / shard["name"]).stat().st_mtime_ns,
            )
            for split in manifest["splits"].values()
            for shard in split["shards"]
        }

    first = digests()
    assert len(first) == 10
    for path in (data / "transforms.py", data / "records" / "reader.py"):
        path.write_text(path.read_text() + "\n_OTHER = 1  # an edit\n")
    edit(schema_file, "def video_of(", "# a comment\n\n\ndef video_of(")
    edit(schema_file, "An actor of one frame.", "One actor of a frame.")
    assert digests() == first
    edit(schema_file, "JPEG_QUALITY = 92", "JPEG_QUALITY = 91")
    second = digests()
    assert second.keys() == first.keys()
    assert all(second[name][0] != first[name][0] for name in first)
    edit(
        data / "moving_actors" / "drawing.py",
        "SMALLEST_SIDE = 64",
        "SMALLEST_SIDE = 63",
    )
    third = digests()
    for name, (digest, changed) in third.items():
        assert digest == second[name][0]
        assert changed != second[name][1]


def test_a_clip_is_drawn_as_pictures(repository, tmp_path):
    program = "-m keras_vas.data.moving_actors"
    options = ("--clip=2", "--size=96")
    done = run(repository, program, tmp_path / "clip", options)
    assert done.returncode == 0, done.stderr
    clip = drawing.draw_clip(0, "test", 2, height=96, width=96)
    for sentence in clip.sentences:
        assert f"  {sentence.text}\n" in done.stdout
    frames = list(open_video(tmp_path / "clip"))
    assert len(frames) == 16
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, clip.frames[i // 2])
    done = run(repository, program, tmp_path / "clip", options)
    assert done.returncode == 1
    assert "is not empty; name a new --output" in done.stderr
