"""The flagfiles of configs/, wherever a program is started."""

import pathlib
import sys

import keras_vas
from keras_vas.command_line import lines

_FLAGFILE = "--flagfile="
_FLAG = f"{_FLAGFILE}configs/"


def words():
    """The command line, with the flags of our own flagfiles in their place.

    A --flagfile=configs/NAME.flags that is no file below the working
    directory is one that the package brings; every other one is left to absl.
    """
    return [sys.argv[0], *_expanded(sys.argv[1:])]


def folder(name):
    """Path of a top-level folder, in a checkout or in an installed package."""
    package = pathlib.Path(keras_vas.__file__).parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def _expanded(given):
    for word in given:
        path = pathlib.Path(word.removeprefix(_FLAGFILE))
        own = folder("configs").joinpath(*path.parts[1:])
        if word.startswith(_FLAG) and not path.exists() and own.is_file():
            text = own.read_text(encoding="utf-8").splitlines()
            yield from _expanded(x for x in text if x.startswith("--"))
        else:
            _check(word, set())
            yield word


def _check(word, seen):
    """Ends the program where absl would wait or raise an error of its own."""
    path = pathlib.Path(word.removeprefix(_FLAGFILE))
    if not word.startswith(_FLAGFILE) or path in seen or not path.exists():
        return
    if not path.is_file():
        lines.fail(f"{word} is no regular file; name a file of flags")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        lines.fail(f"{word} is no UTF-8 text; name a file of flags")
    for line in text.splitlines():
        _check(line.strip(), seen | {path})
