"""Programs: flags made from signatures, help, errors of one line.

A program's arguments are said once, in the signature and the docstring of
the class or function that takes them: `define_flags` makes the flags,
`build` calls it with their values, `run` runs the program, whose module's
docstring opens its --help.
"""

from keras_vas.command_line.lines import counted, progress
from keras_vas.command_line.program import run
from keras_vas.command_line.signature_flags import (
    build,
    checked,
    define_flags,
    early_value,
    refuse_flags,
)

__all__ = [
    "build",
    "checked",
    "counted",
    "define_flags",
    "early_value",
    "progress",
    "refuse_flags",
    "run",
]
