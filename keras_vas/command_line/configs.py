"""The flagfiles of configs/, wherever a program is started."""

import pathlib
import sys

import keras_vas

_FLAG = "--flagfile=configs/"


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
        path = pathlib.Path(word.removeprefix("--flagfile="))
        own = folder("configs").joinpath(*path.parts[1:])
        if word.startswith(_FLAG) and not path.exists() and own.is_file():
            lines = own.read_text(encoding="utf-8").splitlines()
            yield from _expanded(x for x in lines if x.startswith("--"))
        else:
            yield word
