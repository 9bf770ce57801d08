"""What is packed: the source distribution, and the wheel that it makes."""

import configparser
import email
import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import packaging.requirements
import packaging.utils
import project_files
import pytest

import keras_vas

BUILD = "from setuptools import build_meta; build_meta.build_{}({!r})"
PATTERNS = ("*.py", "*.md", "*.flags", "*.npz", "*.ipynb", "*.config", "*.lock")


def build(kind, folder, output):
    output.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD.format(kind, str(output))],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (path,) = output.iterdir()
    return path


@pytest.fixture(scope="module")
def sources(repository, tmp_path_factory):
    """Folder of the unpacked source distribution, built from a copy."""
    folder = tmp_path_factory.mktemp("packed")
    left_out = project_files.ignored(repository)
    shutil.copytree(
        repository,
        folder / "copy",
        ignore=lambda path, _: (
            left_out if pathlib.Path(path) == repository else ()
        ),
    )
    archive = build("sdist", folder / "copy", folder / "sdist")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / f"keras_vas-{keras_vas.__version__}"


@pytest.fixture(scope="module")
def installed(sources):
    """Folder of what the wheel installs."""
    wheel = build("wheel", sources, sources.parent / "wheel")
    folder = sources.parent / "site-packages"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def information(installed):
    return installed / f"keras_vas-{keras_vas.__version__}.dist-info"


@pytest.fixture(scope="module")
def metadata(information):
    return email.message_from_string((information / "METADATA").read_text())


def test_the_source_distribution_holds_the_project(repository, sources):
    expected = [
        path
        for pattern in PATTERNS
        for path in project_files.matching(repository, pattern)
    ]
    assert len(expected) > 300
    expected += ["LICENSE", "Makefile", ".gitignore", "pyproject.toml"]
    assert not [x for x in expected if not (sources / x).is_file()]


def test_the_wheel_holds_the_package_and_its_folders(repository, installed):
    names = sorted(path.name for path in installed.iterdir())
    assert names == [
        "keras_vas",
        f"keras_vas-{keras_vas.__version__}.dist-info",
    ]
    expected = {
        path.removeprefix("keras_vas/")
        for pattern in ("*.py", "*.flags", "*.npz", "*.md")
        for path in project_files.matching(repository, pattern)
        if path.startswith(("keras_vas/", "configs/", "tfrecords/"))
    } | {"py.typed", "data/text/WORDNET_LICENSE"}
    assert len(expected) > 200
    found = {
        path.relative_to(installed / "keras_vas").as_posix()
        for path in installed.glob("keras_vas/**/*")
        if path.is_file()
    }
    assert found == expected


def test_the_metadata_say_what_it_is(metadata, information, repository):
    assert metadata["Name"] == "keras_vas"
    assert metadata["Version"] == keras_vas.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = (repository / "README.md").read_text()
    assert metadata.get_payload().strip() == readme.strip()
    extras = {"app", "docs", "gpu", "lint", "notebook", "serving", "test"}
    assert extras <= set(metadata.get_all("Provides-Extra"))
    licences = {path.name for path in information.glob("licenses/**/*")}
    assert {"LICENSE", "WORDNET_LICENSE"} <= licences


def test_every_requirement_is_locked(metadata, repository):
    locked = dict(
        re.findall(
            r"^([\w.-]+)==(\S+)",
            (repository / "requirements.lock").read_text(),
            re.MULTILINE,
        )
    )
    texts = metadata.get_all("Requires-Dist")
    assert len(texts) > 30
    for text in texts:
        wanted = packaging.requirements.Requirement(text)
        name = packaging.utils.canonicalize_name(wanted.name)
        if name != "keras-vas":
            assert wanted.specifier.contains(locked[name]), text


def test_versions_agree(metadata, repository):
    citation = (repository / "CITATION.cff").read_text()
    assert f"version: {metadata['Version']}\n" in citation
    hooks = (repository / ".pre-commit-config.yaml").read_text()
    (ruff,) = (x for x in metadata.get_all("Requires-Dist") if "ruff" in x)
    assert f"rev: v{ruff.partition(';')[0].split('==')[1].strip()} " in hooks


def test_the_command_is_a_function(information):
    parser = configparser.ConfigParser()
    parser.read(information / "entry_points.txt")
    assert list(parser["console_scripts"]) == ["keras-vas"]
    module, _, name = parser["console_scripts"]["keras-vas"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_installed_command_converts_and_finds_flagfiles(
    installed, tmp_path
):
    def run(*words):
        program = "from keras_vas.programs import console; console.main()"
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
        )

    built = run(
        "build_moving_actors", "--output=records", "--workers=2",
        "--train_clips=2", "--test_clips=1", "--height=64", "--width=64",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "records" / "manifest.json").is_file()
    begun = run(
        "train", "--flagfile=configs/ablations/full.flags",
        "--data=none", "--workdir=run",
    )  # fmt: skip
    assert begun.returncode == 1
    (line,) = begun.stderr.splitlines()
    assert "there is no folder none" in line
    assert not pathlib.Path(tmp_path, "run").exists()


def test_a_command_says_which_extra_it_needs(repository):
    program = (
        "import sys; sys.modules['uvicorn'] = None; "
        "from keras_vas.programs import console; console.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--help"],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: keras-vas serve needs uvicorn; install")
    assert "keras_vas[serving]" in line
