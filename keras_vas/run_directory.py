"""A run directory: made, recognised, and protected from other flags."""

import importlib.metadata
import json
import pathlib
import platform

from keras_vas import checkpoint, files
from keras_vas.errors import UserError

_PACKAGES = ("tensorflow", "keras", "numpy", "keras_vas")
_LEFTOVERS = (".last.", ".best.", ".config.", ".vocabulary.")
FREE_FLAGS = frozenset(
    {"data", "workdir", "checkpoint_steps", "tensorboard", "skip_corrupt"}
)


def is_run(run):
    """Whether `run` is a run directory; a `UserError` if it is other things."""
    run = pathlib.Path(run)
    if run.exists() and not run.is_dir():
        raise UserError(f"--workdir={run} is a file; name a folder")
    if (run / "config.json").is_file():
        return True
    others = [
        path
        for path in _entries(run)
        if path.name != "vocabulary.txt" and not path.name.startswith(".")
    ]
    if others:
        raise UserError(
            f"--workdir={run} exists and is no run of train.py (it holds "
            f"{others[0].name}); name a new or an empty folder"
        )
    return False


def start(run, *, flags, model, data_manifest, vocabulary):
    """Writes `RUN/vocabulary.txt` and `RUN/config.json`.

    Args:
        run: run directory, missing or empty.
        flags: dict of flag name to value.
        model: dict, `CSTM.get_config()` of the inference model.
        data_manifest: dict, the manifest of the records.
        vocabulary: `Vocabulary`.
    """
    run = pathlib.Path(run)
    config = {
        "flags": flags,
        "model": model,
        "versions": _versions(),
        "data_manifest": data_manifest,
    }
    vocabulary.save(run / "vocabulary.txt")
    with files.atomic_path(run / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n")


def check_same(run, *, flags, data_manifest):
    """Raises a UserError if `run` was started with something else.

    Args:
        run: run directory.
        flags: dict of flag name to value; `FREE_FLAGS` may differ.
        data_manifest: dict, the manifest of the records.
    """
    config = checkpoint.read_config(run)
    before = config["flags"]
    now = json.loads(json.dumps(flags))
    changed = [
        f"--{name}={_shown(now.get(name))} (was {_shown(before.get(name))})"
        for name in sorted(before.keys() | now.keys())
        if name not in FREE_FLAGS and before.get(name) != now.get(name)
    ]
    if changed:
        raise UserError(
            f"{run} was started with other flags: {', '.join(changed)}; give "
            "those, or a new --workdir"
        )
    if config["data_manifest"] != json.loads(json.dumps(data_manifest)):
        raise UserError(
            f"{run} was started on other records than those in --data; give "
            "those, or a new --workdir"
        )


def remove_leftovers(run):
    """Removes the unfinished files of a killed process."""
    for folder in (pathlib.Path(run), checkpoint.last_path(run).parent):
        for path in _entries(folder):
            if path.name.startswith(_LEFTOVERS):
                path.unlink(missing_ok=True)


def _entries(folder):
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _versions():
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _shown(value):
    return ",".join(map(str, value)) if isinstance(value, list) else value
