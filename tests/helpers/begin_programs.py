"""Runs programs in one process, up to where their work would begin.

    python begin_programs.py < commands.json

commands.json is a list of lists of words: a file, a module or `keras-vas`,
and what follows it on the command line. Each is run as it would be, but what
it would do once its flags are read is left out. On standard output comes a
list of `[exit status, what it printed, what it said on standard error]`.
"""

import argparse
import contextlib
import io
import json
import runpy
import sys

from absl import app, flags

KEPT = set(flags.FLAGS)
OURS = ("keras_vas", "converter", "listed_videos")
_parse_args = argparse.ArgumentParser.parse_args


def _begin(main, argv):
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]} is not a flag")


def _parse_and_end(self, *arguments, **keywords):
    _parse_args(self, *arguments, **keywords)
    sys.exit(0)


def begin(words):
    """What comes of one command; nothing is left of an earlier one."""
    for name in set(flags.FLAGS) - KEPT:
        delattr(flags.FLAGS, name)
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]
    program, path = words[0], list(sys.path)
    sys.argv = list(words)
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            if program.endswith(".py"):
                sys.path.insert(0, program.rpartition("/")[0])
                runpy.run_path(program, run_name="__main__")
            elif program == "keras-vas":
                from keras_vas.programs import console

                console.main()
            else:
                runpy.run_module(program, run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    sys.path[:] = path
    if isinstance(status, str):
        print(status, file=errors)
        status = 1
    return status, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    app.run = _begin
    argparse.ArgumentParser.parse_args = _parse_and_end
    print(json.dumps([begin(words) for words in json.load(sys.stdin)]))
