"""Commands in README and the other pages: what they name exists.

Each is run up to where its work would begin, so that its program, flags,
values and flagfile are read as they would be.
"""

import ast
import collections
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import project_files
import pytest

BEGIN = pathlib.Path(__file__).parent / "helpers" / "begin_programs.py"
PYTHON = ("python", "python3", ".venv/bin/python")
PIP = "pip installs, which needs a network"
NOT_RUN = {
    "docker": "needs Docker",
    "pip": PIP,
    ".venv/bin/pip": PIP,
    "tensorboard": "TensorBoard's own command, serves until it is stopped",
    "mkdocs": "`make docs` calls it",
    "pre-commit": "fetches its hooks from a network",
    "unzip": "needs what pip downloads",
    "git": "needs a clone",
    "curl": "needs a server that runs",
    "train.py --model=NAME": "NAME is that of a model to be written",
    "train.py --spatial_backbone=plain": "the page itself makes this backbone",
}
FENCE = re.compile(r"(?ms)^( *)```(\w*)[^\n]*\n(.*?)^\1```")
LEFT_OUT = re.compile("is needed|required|Missing value for flag")
SHELL = ("", "sh", "bash", "shell", "console")
FIRST = (*PYTHON, *NOT_RUN, "make", "keras-vas", ".venv/bin/keras-vas")
INLINE = re.compile(
    r"`((?:(?:\.venv/bin/)?(?:python|keras-vas|make)|\w+\.py) [^`]+)`"
)
Command = collections.namedtuple("Command", "page words whole")


def commands_of(page, text):
    """Yields the commands of a page: lines of shell blocks, and inline ones.

    Raises:
        AssertionError: a block that is no shell's holds a command.
    """
    for _, language, body in FENCE.findall(text):
        if language not in SHELL:
            continue
        lines = list(_lines(body)) if _begins_with_a_command(body) else []
        if not lines:
            drawn = [x for x in body.splitlines() if _begins_with_a_command(x)]
            assert not drawn, f"{page}: {drawn}"
        for words in lines:
            for part in _split(words):
                yield Command(page, part, "..." not in part)
    for code in INLINE.findall(FENCE.sub("", text)):
        yield Command(page, shlex.split(code), False)


def _lines(body):
    """The words of each command; one goes on until its quotes are closed."""
    waiting = ""
    for line in re.sub(r"\\\n", " ", body).splitlines(keepends=True):
        waiting += line.strip(" ").removeprefix("$ ")
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:
            continue
        waiting = ""
        yield words
    assert not waiting, waiting


def _begins_with_a_command(text):
    words = re.sub(r"^(\s*(\$ |#.*\n|\w+=\S*\s+\\?\n?))*", "", text).split()
    return bool(words) and words[0] in FIRST


def _split(words):
    """The commands of a line, without variables that are set before them."""
    part = []
    for word in [*words, "&&"]:
        if word in ("&&", "|", "&", ";"):
            if part:
                yield part
            part = []
        elif part or not re.match(r"[A-Z_]+=", word):
            part.append(word)


def argv_of(words):
    """What `begin_programs.py` takes; `None` if it is no program of ours."""
    if words[0] in PYTHON:
        words = words[2:] if words[1] == "-m" else words[1:]
        ours = words[0].startswith("keras_vas") or words[0].endswith(".py")
    else:
        words = [words[0].removeprefix(".venv/bin/"), *words[1:]]
        ours = words[0] == "keras-vas" or words[0].endswith(".py")
    return [x for x in words if x != "..."] if ours else None


def reason(words):
    """Why a command is not run, if it is on the list."""
    if words[0] in PYTHON and words[1:3] == ["-m", "pip"]:
        return PIP
    return NOT_RUN.get(words[0]) or NOT_RUN.get(" ".join(words[:2]))


@pytest.fixture(scope="module")
def commands(repository):
    pages = [
        page
        for page in project_files.matching(repository, "*.md")
        if page != "CHANGELOG.md"
    ]
    assert {"README.md", "docs/training.md", "serving/README.md"} <= set(pages)
    found = [
        command
        for page in pages
        for command in commands_of(page, (repository / page).read_text())
    ]
    assert len(found) > 50
    return [x for x in found if not reason(x.words)]


def test_programs_know_their_flags(commands, repository):
    named = [(x, argv_of(x.words)) for x in commands]
    named = [(x, argv) for x, argv in named if argv]
    assert len(named) > 30
    done = subprocess.run(
        [sys.executable, BEGIN],
        input=json.dumps([argv for _, argv in named]),
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wrong = [
        (command.page, " ".join(command.words), errors.strip())
        for (command, _), (status, _, errors) in zip(
            named, json.loads(done.stdout), strict=True
        )
        if status and (command.whole or not LEFT_OUT.search(errors))
    ]
    assert not wrong


def test_make_knows_its_targets_and_variables(commands, repository):
    makefile = (repository / "Makefile").read_text()
    words = [w for x in commands if x.words[0] == "make" for w in x.words[1:]]
    assert len(words) > 5
    for word in words:
        name, is_variable, _ = word.partition("=")
        known = (
            rf"\$\(\w* ?{name}\b|^{name} \?=" if is_variable else f"^{name}:"
        )
        assert re.search(known, makefile, re.MULTILINE), word


def test_what_else_is_called_exists(commands, repository):
    checked = 0
    for page, words, _ in commands:
        if words[0] == "make" or argv_of(words):
            continue
        checked += 1
        if words[0] in PYTHON and words[1] == "-c":
            ast.parse(words[2])
            continue
        assert words[1:3] == ["-m", "pytest"], f"{page}: {words}"
        paths = [x for x in words[3:] if not x.startswith("-")]
        assert all((repository / x).exists() for x in paths), f"{page}: {words}"
    assert checked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```\npython train.py --data=x \\\n  --workdir=y  # z\n```\n",
         [["python", "train.py", "--data=x", "--workdir=y"]]),
        ("```sh\nA=1 make test && make lint\n```\n",
         [["make", "test"], ["make", "lint"]]),
        ("```python\nmake = 1\n```\nand `make demo`", [["make", "demo"]]),
        ("```\nout/ a folder\n```\n", []),
    ],
)  # fmt: skip
def test_commands_are_found(text, found):
    assert [x.words for x in commands_of("page", text)] == found


def test_a_command_in_a_drawing_is_found_out():
    with pytest.raises(AssertionError, match="page: "):
        list(commands_of("page", "```\nRUN/ a run\npython x.py\n```\n"))
