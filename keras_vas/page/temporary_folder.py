"""The page's temporary folder, gone with the program, however it ends."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

_PREFIX = "keras_vas_page_"
_LOCK = ".lock"


@contextlib.contextmanager
def folder():
    """Yields a new folder that only this user can read, and removes it.

    What a program that was killed has left behind is removed at the next
    start: its folder is no longer locked.

    Yields:
        `pathlib.Path`.
    """
    remove_leftovers()
    with tempfile.TemporaryDirectory(
        prefix=_PREFIX, ignore_cleanup_errors=True
    ) as name:
        path = pathlib.Path(name).resolve()
        with open(path / _LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path


def remove_leftovers():
    """Removes the folders of this user that no program holds any more."""
    for path in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            with open(path / _LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # held, or gone by now
            continue
