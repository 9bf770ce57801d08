"""Flags made from the signature and the docstring that take the values."""

import inspect
import types
import typing

import docstring_parser
from absl import flags

from keras_vas.command_line import configs, help_text, lines
from keras_vas.errors import UserError


def define_flags(target, *, without=(), defaults=None):
    """Defines a flag for every argument of a class or function.

    The default gives the flag its kind: bool, int, float, a str (with
    choices where the annotation is a `typing.Literal`), a tuple (values with
    commas between). Of an argument whose default is None, the annotation
    does, such as `int | None`. The docstring's text is the help.

    Args:
        target: class, dataclass or function with a Google-style docstring
            that describes each argument (a dataclass: each attribute).
        without: names that become no flag.
        defaults: dict of name to another default.

    Returns:
        List of the flags' names.
    """
    described = docstring_parser.parse(target.__doc__)
    texts = {
        entry.arg_name: _sentence(entry.description)
        for entry in described.params
    }
    defaults = defaults or {}
    names = []
    for name, parameter in _parameters(target).items():
        if name in without:
            continue
        default = defaults.get(name, parameter.default)
        _define(name, default, parameter.annotation, texts[name])
        names.append(name)
    help_text.add_group(described.short_description, names)
    return names


def build(target, **more):
    """Calls a class or function with the values of its flags.

    Args:
        target: as given to `define_flags`.
        **more: arguments that are no flags, or instead of theirs.

    Raises:
        UserError: it refuses a value with a ValueError.
    """
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name in _parameters(target)
        if name in flags.FLAGS
        for value in [flags.FLAGS[name].value]
    }
    return checked(target, **{**values, **more})


def checked(function, *arguments, **keywords):
    """Calls a function; a ValueError about its arguments is the user's."""
    try:
        return function(*arguments, **keywords)
    except ValueError as error:
        raise UserError(str(error)) from error


def early_value(name, default):
    """The value of a string flag, before the flags that depend on it exist."""
    early = flags.FlagValues()
    flags.DEFINE_string(
        name, default, "A value that decides on flags.", flag_values=early
    )
    try:
        early(configs.words(), known_only=True)
    except flags.Error as error:
        lines.fail(error)
    return early[name].value


def refuse_flags(owners):
    """Ends the program if a flag is given that belongs to something else.

    Args:
        owners: dict of a flag's name to what has it, a list of str; names
            that are defined by now are no matter.
    """
    for word in flags.FLAGS.read_flags_from_files(configs.words()[1:]):
        name = word.lstrip("-").partition("=")[0]
        if not word.startswith("-") or name in flags.FLAGS:
            continue
        for known in (name, name.removeprefix("no")):
            if known in owners and known not in flags.FLAGS:
                lines.fail(
                    f"--{name} is a flag of {', '.join(owners[known])}; leave "
                    "it out, or name that model"
                )


def _parameters(target):
    function = target.__init__ if inspect.isclass(target) else target
    parameters = inspect.signature(function).parameters
    return {k: v for k, v in parameters.items() if k != "self"}


def _define(name, default, annotation, text):
    kind = type(default)
    if default is None or default is inspect.Parameter.empty:
        default, required = None, default is not None
        kind = annotation
        if isinstance(annotation, types.UnionType):
            annotation = kind = typing.get_args(annotation)[0]
        kind = typing.get_origin(kind) or kind
    else:
        required = False
    if typing.get_origin(annotation) is typing.Literal:
        flags.DEFINE_enum(name, default, typing.get_args(annotation), text)
    elif kind is tuple:
        (item, *_) = typing.get_args(annotation)
        flags.DEFINE(
            _ListOf(item),
            name,
            None if default is None else list(default),
            text,
            serializer=_Commas(),
        )
    else:
        define = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[kind]
        define(name, default, text)
    if required:
        flags.mark_flag_as_required(name)


class _ListOf(flags.ArgumentParser):
    """Parses values with commas between; an empty text is an empty list."""

    def __init__(self, item):
        self._item = item
        self.syntactic_help = "values with commas between"

    def parse(self, argument):
        if isinstance(argument, list):
            return argument
        return [self._item(x) for x in argument.split(",") if x.strip()]

    def flag_type(self):
        return f"list of {self._item.__name__}"


class _Commas(flags.ArgumentSerializer):
    def serialize(self, value):
        return ",".join(map(str, value))


def _sentence(description):
    text = " ".join(description.replace("`", "").split())
    return text[:1].upper() + text[1:]
