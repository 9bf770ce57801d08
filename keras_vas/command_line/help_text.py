"""What --help prints: the program's docstring and its own flags in groups."""

import inspect
import re
import shutil
import sys
import textwrap

from absl import flags

WORDS = ("--help", "-help", "-h", "--helpshort", "--helpfull")
_MOST_COLUMNS = 100
_TEXT_COLUMN = 28
_VALUES = {"int": "N", "float": "X", "string": "TEXT", "multi string": "TEXT"}
_ABSL_ADDITIONS = re.compile(
    r"^<[^<>]*>: |;\s+repeat this option to specify a list of values$"
)
_PROGRAM = re.compile(r"python (-m )?[\w/.]+")

_groups = {}


def add_group(title, names):
    """Gives flags a heading of their own in the help."""
    _groups[title.partition(";")[0].rstrip(".")] = list(names)


def make(introduction):
    """The help of the program that runs.

    Args:
        introduction: docstring of the program's module.

    Returns:
        Text: the introduction, the flags that are needed, those that the
        program defines itself, and those of each `add_group`, every one with
        its choices and its default. Flags of absl and of other packages are
        left out.
    """
    columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    own = {
        flag.name: flag
        for module, defined in flags.FLAGS.flags_by_module_dict().items()
        if module == sys.argv[0] or module.split(".")[0] == "keras_vas"
        for flag in defined
    }
    needed = [name for name in own if _is_needed(own[name])]
    grouped = [name for names in _groups.values() for name in names]
    parts = {
        "Needed": needed,
        "Flags": [x for x in own if x not in needed + grouped],
        **{
            title: [name for name in names if name not in needed]
            for title, names in _groups.items()
        },
    }
    introduction = inspect.cleandoc(introduction)
    if " " in sys.argv[0]:
        introduction = _PROGRAM.sub(sys.argv[0], introduction)
    blocks = [introduction]
    for title, names in parts.items():
        if names:
            described = [_describe(own[name], columns) for name in names]
            blocks.append("\n".join([f"{title}:", *described]))
    blocks.append(
        textwrap.fill(
            "--flagfile=FILE reads flags from a file, one a line; a flag after "
            "it overrides one in it.",
            columns,
        )
    )
    return "\n\n".join(blocks)


def _is_needed(flag):
    return any(
        validator.message.endswith("must have a value other than None.")
        for validator in flag.validators
    )


def _describe(flag, columns):
    text = _ABSL_ADDITIONS.sub("", flag.help)
    choices = getattr(flag.parser, "enum_values", None)
    if flag.boolean:
        name = f"--[no]{flag.name}"
    elif choices and len("|".join(choices)) + len(flag.name) < _TEXT_COLUMN:
        name = f"--{flag.name}={'|'.join(choices)}"
    else:
        kind = flag.flag_type()
        name = f"--{flag.name}={_VALUES.get(kind, 'A,B')}"
        if choices:
            name = f"--{flag.name}=NAME"
            text = f"{text} One of {', '.join(choices)}."
    default = _default(flag)
    if default:
        text = f"{text} Default: {default}."
    lines = textwrap.wrap(
        text,
        columns,
        initial_indent=" " * _TEXT_COLUMN,
        subsequent_indent=" " * _TEXT_COLUMN,
        break_long_words=False,
        break_on_hyphens=False,
    )
    label = f"  {name}"
    if len(label) < _TEXT_COLUMN - 1:
        lines[0] = label.ljust(_TEXT_COLUMN) + lines[0].lstrip()
    else:
        lines.insert(0, label)
    return "\n".join(lines)


def _default(flag):
    if flag.boolean:
        return "yes" if flag.default else "no"
    if flag.default in (None, "", []):
        return None
    if isinstance(flag.default, list):
        return ",".join(map(str, flag.default))
    return str(flag.default)
