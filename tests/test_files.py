"""Atomic files, JSON files, and locks of folders."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from keras_vas import files
from keras_vas.errors import UserError


def killed(program, *arguments):
    """Runs a Python program that kills itself."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], check=False
    )
    assert done.returncode == -signal.SIGKILL


KILLED_WHILE_WRITING = """
import os, sys
from keras_vas import files
with files.atomic_path(sys.argv[1]) as path:
    path.write_text("half")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("name", ["a.npz", "b", ".hidden", "two.parts.json"])
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path, name):
    mine = [
        ".claude.json", ".notes.csv", ".a.keras_vas-notes.npz", "a.npz.tmp",
        ".train.x.tfrecord", "keras_vas-abcdefgh.npz", ".keras_vas-plan",
    ]  # fmt: skip
    for other in mine:
        (tmp_path / other).write_text("mine")
    (tmp_path / ".folder.keras_vas-abcdefgh").mkdir()
    path = tmp_path / name
    path.write_text("before")
    killed(KILLED_WHILE_WRITING, path)
    left = {x.name for x in tmp_path.iterdir()}
    assert len(left) == len(mine) + 3
    files.remove_leftovers(tmp_path)
    assert {x.name for x in tmp_path.iterdir()} == {
        *mine, name, ".folder.keras_vas-abcdefgh",
    }  # fmt: skip
    assert path.read_text() == "before"
    files.remove_leftovers(tmp_path / "missing")


def test_an_atomic_file_is_written_or_what_was_there_stays(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.atomic_path(path) as temporary:
        assert temporary.suffix == ".txt"
        assert files.is_temporary(temporary.name)
        temporary.write_text("one")
        assert not path.exists()
    with contextlib.suppress(RuntimeError), files.atomic_path(path) as other:
        other.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


def test_json_is_read_back_and_other_files_are_one_line(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1, None]})
    assert files.read_json(path, "-") == {"a": [1, None]}
    for content in (b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a.json is no JSON .*; mend it"):
            files.read_json(path, "mend it")
    for missing in (tmp_path / "b.json", path / "c.json"):
        with pytest.raises(UserError, match=r"there is no file .*; make it"):
            files.read_json(missing, "make it")


def test_a_locked_folder_is_refused_until_the_lock_ends(tmp_path):
    folder = tmp_path / "new"
    with files.lock(folder):
        with pytest.raises(UserError, match=f"writing to {folder}; wait"):
            with files.lock(folder):
                pass
    assert not list(folder.iterdir())
    with contextlib.suppress(RuntimeError), files.lock(folder):
        raise RuntimeError
    with files.lock(folder):
        pass


KILLED_WITH_A_LOCK = """
import os, sys
from keras_vas import files
with files.lock(sys.argv[1]):
    os.kill(os.getpid(), 9)
"""


def test_a_killed_process_holds_no_lock(tmp_path):
    killed(KILLED_WITH_A_LOCK, tmp_path)
    (left,) = tmp_path.iterdir()
    assert files.is_temporary(left.name)
    with files.lock(tmp_path):
        assert left.exists()
    assert not left.exists()


COUNTS = """
import sys, pathlib
from keras_vas import files, errors
count = pathlib.Path(sys.argv[1], "count")
done = 0
while done < 200:
    try:
        with files.lock(sys.argv[1]):
            count.write_text(str(int(count.read_text()) + 1))
            done += 1
    except errors.UserError:
        pass
"""


def test_two_processes_never_hold_a_lock_at_once(tmp_path):
    (tmp_path / "count").write_text("0")
    counting = [
        subprocess.Popen([sys.executable, "-c", COUNTS, str(tmp_path)])
        for _ in range(3)
    ]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "600"
