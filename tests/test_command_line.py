"""Flags from signatures, and errors of one line."""

import ast
import dataclasses
import os
import subprocess
import sys
from typing import Literal

import project_files
import pytest
from absl import flags

from keras_vas import command_line
from keras_vas.command_line import configs, lines, signature_flags
from keras_vas.errors import UserError

PROGRAM = """
import ast
import dataclasses
from keras_vas import command_line
from keras_vas.command_line import signature_flags

@dataclasses.dataclass
class Walk:
    '''A walk.

    Attributes:
        steps: number of `steps`.
        ways: names with commas between.
    '''
    steps: int
    ways: tuple[str, ...] = ()

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError(f"--steps={self.steps} must be 0 or more")

command_line.define_flags(Walk)
command_line.run(lambda _: print(command_line.build(Walk)))
"""


@dataclasses.dataclass
class Settings:
    """Some settings.

    Attributes:
        on: whether `it` is on.
        count: how many
            there are.
        rate: of growth.
        kind: one of two.
        stages: which stages.
        names: names, or none.
        limit: largest number, or none.
        times: seconds, or none.
    """

    on: bool = True
    count: int = 3
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    stages: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ()
    limit: int | None = None
    times: tuple[float, ...] | None = None


@pytest.fixture
def values(monkeypatch):
    own = flags.FlagValues()
    monkeypatch.setattr(signature_flags.flags, "FLAGS", own)
    defined = []
    for name in ("string", "boolean", "integer", "float", "enum"):
        define = getattr(flags, f"DEFINE_{name}")

        def here(*arguments, define=define, **keywords):
            defined.append(arguments[0])
            return define(*arguments, flag_values=own, **keywords)

        monkeypatch.setattr(signature_flags.flags, f"DEFINE_{name}", here)
    plain = flags.DEFINE
    monkeypatch.setattr(
        signature_flags.flags,
        "DEFINE",
        lambda *a, **k: plain(*a, flag_values=own, **k),
    )
    return own


def test_flags_have_the_kinds_defaults_and_texts_of_the_signature(values):
    names = command_line.define_flags(
        Settings, without=("on",), defaults={"rate": 0.25}
    )
    assert names == [
        "count", "rate", "kind", "stages", "names", "limit", "times",
    ]  # fmt: skip
    values(["program"])
    expected = Settings(on=False, rate=0.25)
    assert command_line.build(Settings, on=False) == expected
    assert values["count"].help == "How many there are."
    assert values["kind"].parser.enum_values == ["a", "b"]
    values(
        ["program", "--stages=4,5", "--names=x,y", "--limit=7", "--times=1,2.5"]
    )
    built = command_line.build(Settings)
    assert (built.stages, built.names) == ((4, 5), ("x", "y"))
    assert (built.limit, built.times) == (7, (1.0, 2.5))
    values(["program", "--stages="])
    assert command_line.build(Settings).stages == ()
    with pytest.raises(flags.Error, match="--stages=4,five"):
        values(["program", "--stages=4,five"])


def test_a_refused_value_is_the_users():
    def picky(number):
        raise ValueError(f"--number={number} is odd")

    with pytest.raises(UserError, match="--number=3 is odd"):
        command_line.checked(picky, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps=2", "--ways=n,s"], "Walk(steps=2, ways=('n', 's'))"),
        (["--steps=-1"], "error: --steps=-1 must be 0 or more"),
        (["--steps=many"], "error: flag --steps=many: "),
        ([], "error: --steps is needed (see -c --help)"),
        (["--stops=1"], "error: Unknown command line flag 'stops'"),
        (["--steps=1", "up"], "error: up is not a flag: write every flag as"),
    ],
)
def test_a_program_says_one_line(repository, words, said):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith(said)
    assert done.returncode == line.startswith("error")


def test_every_help_is_a_sentence_that_stands_alone(repository):
    helps = []
    for path in project_files.matching(repository, "*.py"):
        if path.startswith("tests/"):
            continue
        for node in ast.walk(ast.parse((repository / path).read_text())):
            if isinstance(node, ast.Call) and ".DEFINE_" in ast.unparse(
                node.func
            ):
                place = 3 if "enum" in ast.unparse(node.func) else 2
                text = node.args[place : place + 1]
                if text and isinstance(text[0], ast.Constant):
                    helps.append(
                        (path, ast.unparse(node.args[0]), text[0].value)
                    )
    assert len(helps) > 60
    wrong = [
        (path, name, text)
        for path, name, text in helps
        if len(text.split()) < 4 or text[0] != text[0].upper()
        or not text.endswith(".") or text.startswith(("Of ", "As ", "To "))
    ]  # fmt: skip
    assert not wrong


def test_flagfiles_that_are_none_are_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "bytes.flags").write_bytes(b"\x9c\xff")
    (tmp_path / "names.flags").write_text(f"--flagfile={tmp_path}/bytes.flags")
    (tmp_path / "itself.flags").write_text(
        f"--flagfile={tmp_path}/itself.flags"
    )
    os.mkfifo(tmp_path / "fifo.flags")
    for name, said in {
        "bytes.flags": "is no UTF-8 text",
        "names.flags": "bytes.flags is no UTF-8 text",
        "fifo.flags": "is no regular file",
        "": "is no regular file",
    }.items():
        words = ["train.py", f"--flagfile={tmp_path / name}"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            configs.words()
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    words = ["train.py", f"--flagfile={tmp_path}/itself.flags", "--a=b"]
    monkeypatch.setattr(sys, "argv", words)
    assert configs.words() == words


def test_what_a_terminal_obeys_is_shown(capsys):
    with pytest.raises(SystemExit):
        lines.fail("no file a\0b\x1b[2J ü")
    assert capsys.readouterr().err == "error: no file a\\x00b\\x1b[2J ü\n"
