"""--help of every program."""

import json
import os
import pathlib
import re
import subprocess
import sys

import project_files
import pytest

BEGIN = pathlib.Path(__file__).parent / "helpers" / "begin_programs.py"
WIDTH = 100


def programs(repository):
    """Every program: files at the top and in folders, modules for -m."""
    for name in project_files.matching(repository, "*.py"):
        folder = name.split("/")[0]
        if folder in ("tests", "setup.py", "serving") or not re.search(
            r'^if __name__ == "__main__":', (repository / name).read_text(),
            re.MULTILINE,
        ):  # fmt: skip
            continue
        if folder != "keras_vas":
            yield name
        elif not name.endswith("page/decoder.py"):  # a child of the page
            module = name.removesuffix(".py").replace("/", ".")
            yield module.removesuffix(".__main__")


@pytest.fixture(scope="module")
def helps(repository):
    commands = [[name, "--help"] for name in programs(repository)]
    done = subprocess.run(
        [sys.executable, BEGIN],
        input=json.dumps(commands),
        cwd=repository,
        env={
            **os.environ,
            "COLUMNS": str(WIDTH),
            "PYTHONPATH": str(repository),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    helps = {}
    for (name, _), (status, out, errors) in zip(
        commands, json.loads(done.stdout), strict=True
    ):
        assert (status, errors) == (0, ""), name
        helps[name] = out
    return helps


def test_every_program_helps(helps):
    assert len(helps) > 20
    wrong = {}
    for program, text in helps.items():
        checks = {
            "a first sentence": re.match(r"[A-Z][^\n]+\.\n|usage: ", text),
            "an example": re.search(r"python (-m )?\S+|keras-vas", text),
            "no foreign flags": "logtostderr" not in text,
            "the width": max(map(len, text.splitlines())) <= WIDTH,
            "no markup": not re.search(r"``|:: *$|<[a-z|]+>:", text),
        }
        missing = [name for name, held in checks.items() if not held]
        if missing:
            wrong[program] = missing
    assert not wrong


def test_flags_stand_in_groups_with_defaults(helps):
    text = helps["train.py"]
    needed, _, rest = text.partition("\nFlags:\n")
    assert "\nNeeded:\n  --data=" in needed
    assert "--workdir=" in needed
    assert "--workdir=" not in rest
    groups = re.findall(r"^(\S.*):$", rest, re.MULTILINE)
    assert "How long a training is, and what is drawn by lot in it" in groups
    assert len(groups) >= 7
    assert re.search(r"--epochs=N +Passes over .* Default: 12\.", rest)
    assert re.search(r"--loss=bce\|bce_dice\|focal", rest)
    assert re.search(r"--\[no\]tensorboard .* Default: yes\.", rest)
    flags = re.findall(r"^  --(?:\[no\])?(\w+)", text, re.MULTILINE)
    assert len(flags) == len(set(flags)) > 50


def run(repository, *words):
    return subprocess.run(
        [sys.executable, "-c",
         "from keras_vas.programs.console import main; main()", *words],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_the_command_does_what_the_programs_do_from_anywhere(
    repository, tmp_path
):
    listed = run(repository).stdout
    for command in ("segment", "train", "build_a2d_sentences", "presets"):
        assert command in listed
    assert (
        "keras-vas segment --model=RUN"
        in run(repository, "segment", "--help").stdout
    )
    assert "cstm_davis" in run(repository, "presets", "list").stdout
    built = run(
        repository, "build_moving_actors", f"--output={tmp_path / 'records'}",
        "--train_clips=1", "--test_clips=1", "--height=64", "--width=64",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "records" / "manifest.json").is_file()
    unknown = run(repository, "sing")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: keras-vas has no command sing")


def test_own_flagfiles_are_found_from_anywhere(repository, tmp_path):
    done = run(
        repository, "train", "--flagfile=configs/moving_actors_actions.flags",
        f"--data={tmp_path / 'none'}", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "none") in line
    done = run(repository, "train", "--flagfile=configs/none.flags")
    assert "configs/none.flags" in done.stderr
