"""A result is whole or not there, and nothing else is touched."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.prediction.result_folder import PARTS, ResultFolder
from keras_vas.video.reader import open_video

VIDEO = open_video(np.full((3, 30, 41, 3), 99, np.uint8))


def write(out, query, frames=2):
    with ResultFolder(out, VIDEO, [query]) as folder:
        add(folder, frames)


def add(folder, frames=2):
    for frame in list(VIDEO)[:frames]:
        masks = frame.image[None, ..., 0] > 0
        folder.add(frame.number, frame.time_seconds, frame.image, masks, [0.5])


def query_of(out):
    """The sentence of a result, all of whose parts are there and belong."""
    assert sorted(path.name for path in out.iterdir()) == sorted(PARTS)
    result = json.loads((out / "masks.json").read_text())
    (query,) = result["categories"]
    (masks,) = (out / "masks").iterdir()
    assert masks.name == query["folder"]
    assert len(list(masks.iterdir())) == len(result["images"]) == 2
    assert len(list(open_video(out / "overlay.mp4"))) == 2
    return query["name"]


KILLED = """
import os, pathlib, sys
real, seen = pathlib.Path.rename, [0]
def rename(self, target):
    seen[0] += 1
    if seen[0] == int(sys.argv[2]):
        if sys.argv[3] == "after":
            real(self, target)
        os.kill(os.getpid(), 9)
    return real(self, target)
pathlib.Path.rename = rename
import test_result_folder as t
t.write(pathlib.Path(sys.argv[1]), "new")
"""


def killed(out, number, when):
    """Writes a result and is killed at a rename; `False`: there was none."""
    here = pathlib.Path(__file__)
    paths = [str(here.parent), str(here.parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(number), when],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.DEVNULL,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize(("earlier", "renames"), [(None, 1), ("old", 2)])
def test_a_kill_at_any_rename_leaves_one_whole_result(
    tmp_path, earlier, renames
):
    out = tmp_path / "out"
    if earlier is not None:
        write(out, earlier)
    assert not killed(out, renames + 1, "before")
    for number in range(1, renames + 1):
        for when in ("before", "after"):
            out = tmp_path / f"{number}{when}" / "out"
            if earlier is not None:
                write(out, earlier)
            assert killed(out, number, when)
            if out.exists():
                assert query_of(out) in (earlier, "new")
            # The next run finds an earlier result, also if it fails.
            with contextlib.suppress(RuntimeError):
                with ResultFolder(out, VIDEO, ["failing"]) as folder:
                    add(folder)
                    raise RuntimeError
            if earlier is not None:
                assert query_of(out) in (earlier, "new")
            write(out, "next")
            assert query_of(out) == "next"
            assert os.listdir(out.parent) == ["out"]


def test_a_second_writer_is_refused(tmp_path):
    out = tmp_path / "out"
    with ResultFolder(out, VIDEO, ["first"]) as folder:
        add(folder)
        with pytest.raises(UserError, match="another process is writing"):
            write(out, "second")
    assert query_of(out) == "first"
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_while_putting_into_place_brings_the_old_back(
    tmp_path, monkeypatch
):
    out = tmp_path / "out"
    write(out, "old")
    real = pathlib.Path.rename

    def rename(self, target):
        if self.name == "result":
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        write(out, "new")
    monkeypatch.undo()
    assert query_of(out) == "old"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "name",
    [
        ".claude.json", "thesis.txt", "masks/notes.txt", "masks/notes/a.png",
        "masks/1_old/notes.png", "masks/1_old/00001.txt", ".unfinished/a",
        "masks/1_old/1/00001.png",
    ],
)  # fmt: skip
def test_a_users_file_in_an_earlier_result_is_not_lost(tmp_path, name):
    out = tmp_path / "out"
    write(out, "old")
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="holds something else") as caught:
        write(out, "new")
    assert name.split("/")[0] in str(caught.value)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_that_appears_meanwhile_is_not_lost(tmp_path):
    out = tmp_path / "out"
    folder = ResultFolder(out, VIDEO, ["new"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder)
        add(folder)
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
        with pytest.raises(UserError, match=r"something else .thesis\.txt"):
            stack.close()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(out) == ["thesis.txt"]


def test_folders_that_are_no_result_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write(tmp_path / "file", "a")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "masks.json").write_text('{"made_by": "me"}')
    with pytest.raises(UserError, match="something else"):
        write(tmp_path / "page", "a")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", tmp_path / "here"):
        with pytest.raises(UserError, match="is the current folder"):
            write(name, "a")
    with pytest.raises(UserError, match="or a mounted one"):
        write("/proc", "a")
    assert os.listdir(tmp_path / "here") == []


def test_links_are_followed_to_the_folder_and_not_out_of_it(tmp_path):
    out, mine = tmp_path / "out", tmp_path / "mine"
    write(out, "old")
    (out / "masks").rename(mine)
    (out / "masks").symlink_to(mine)
    (tmp_path / "link").symlink_to(out)
    write(tmp_path / "link", "new")
    assert query_of(out) == "new"
    assert not (out / "masks").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert len(list(mine.rglob("*.png"))) == 2


def test_an_empty_folder_is_taken_and_without_a_frame_stays(tmp_path):
    out = tmp_path / "out"
    with ResultFolder(out, VIDEO, ["nothing"]):
        pass
    assert not out.exists()
    out.mkdir()
    with ResultFolder(out, VIDEO, ["nothing"]):
        pass
    assert os.listdir(out) == []
    write(out, "new")
    assert query_of(out) == "new"


@pytest.mark.parametrize("size", [(4000, 16), (16, 4000), (1, 1)])
def test_frames_of_any_shape_are_shown(tmp_path, size):
    video = open_video(np.full((2, *size, 3), 99, np.uint8))
    out = tmp_path / "out"
    with ResultFolder(out, video, ["a sentence of some words"]) as folder:
        for frame in video:
            masks = np.ones((1, *size), bool)
            folder.add(
                frame.number, frame.time_seconds, frame.image, masks, [1]
            )
    frame = next(iter(open_video(out / "overlay.mp4")))
    assert frame.image.shape[1] >= 320
    assert frame.image.shape[0] <= 4200
    assert (out / "contact_sheet.png").stat().st_size > 100


def test_a_name_that_is_no_text_does_not_stop_a_result(tmp_path):
    folder = tmp_path / os.fsdecode(b"a\xff")
    folder.mkdir()
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1]
    (folder / "1.png").write_bytes(picture.tobytes())
    video = open_video(folder)
    with ResultFolder(tmp_path / "out", video, ["a"]) as result:
        for frame in video:
            masks = frame.image[None, ..., 0] > 0
            result.add(frame.number, 0, frame.image, masks, [1])
    text = (tmp_path / "out" / "masks.json").read_text()
    assert json.loads(text)["info"]["video"].startswith(str(tmp_path))
