"""A run directory: made, read, and protected from other flags.

RUN/config.json            {"flags", "model", "versions", "data_manifest"}
RUN/vocabulary.txt         one word a line
RUN/manifest.json          sizes and checksums of these two
RUN/checkpoints/last.npz   model and optimizer: training goes on from it
RUN/checkpoints/best.npz   model alone: what is evaluated and exported

The manifest is written before what it names, config.json last, so that a run
is there with all three or not at all. A checkpoint holds its own checksum. A
run of an earlier version has no manifest, and is read without.
"""

import importlib.metadata
import io
import json
import pathlib
import platform

from keras_vas import files, packed_files
from keras_vas.data import frame_size
from keras_vas.errors import UserError
from keras_vas.models import registry
from keras_vas.models.variables import make_within, model_variables
from keras_vas.runs import checkpoint

MANIFEST = "manifest.json"
_NAMES = ("vocabulary.txt", "config.json")
_GROWTH = 2  # numbers of a model that are built, for each of its checkpoint
_PACKAGES = ("tensorflow", "keras", "numpy", "keras_vas")
FREE_FLAGS = frozenset(
    {"data", "workdir", "checkpoint_steps", "tensorboard", "skip_corrupt"}
)


def last_path(run):
    """`pathlib.Path` of the checkpoint from which `run` goes on."""
    return pathlib.Path(run) / "checkpoints" / "last.npz"


def best_path(run):
    """`pathlib.Path` of the checkpoint of `run` that is evaluated."""
    return pathlib.Path(run) / "checkpoints" / "best.npz"


def read_config(run):
    """The dict in `RUN/config.json`.

    Raises:
        UserError: `run` is no run, or config.json or vocabulary.txt is not
            what was written there.
    """
    run = pathlib.Path(run)
    path = run / "config.json"
    if not path.exists():
        raise UserError(f"{run} is no run of train.py: there is no {path}")
    files.check_manifest(
        run,
        run / MANIFEST,
        f"bring it back from a copy; if the edit is meant, remove "
        f"{run / MANIFEST}",
    )
    config = files.read_json(path, "bring it back from a copy")
    check_config(config, path)
    return config


def check_config(config, path):
    """Raises a `UserError` unless a run could have this config.json.

    Args:
        config: what the JSON text holds.
        path: where it stands, for the message.
    """
    parts = [
        isinstance(config, dict) and config.get(name)
        for name in ("flags", "model")
    ]
    sizes = [
        isinstance(parts[0], dict) and parts[0].get(f"frame_{side}")
        for side in ("height", "width")
    ]
    if not all(isinstance(part, dict) for part in parts) or not all(
        type(size) is int and size in frame_size.SIDES for size in sizes
    ):
        raise UserError(
            f"{path} is not the config.json of a run of train.py; bring it "
            "back from a copy"
        )


def trained_on(manifest):
    """The part of a manifest that says what was trained on.

    Args:
        manifest: dict, "data_manifest" of a config.json, or likewise.

    Returns:
        List of dicts, one a data set: {"dataset": name, "splits": {"train":
        {"videos": int, "queries": int}}}; without what is not said.

    Raises:
        UserError: somebody has edited it.
    """
    try:
        sets = [
            {
                "dataset": str(part["dataset"]),
                "splits": {
                    "train": {
                        count: int(part["splits"]["train"][count])
                        for count in ("videos", "queries")
                        if count in part["splits"]["train"]
                    }
                },
            }
            for part in manifest.get("parts", [manifest])
            if part.get("dataset")
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            "what the model was trained on cannot be read from its "
            f"description ({error!r}); bring it back from a copy"
        ) from error
    return sets


def build_model(config, path, numbers):
    """The model that a config.json describes, untrained.

    Args:
        config: dict that `check_config` accepts.
        path: where it stands, for the message.
        numbers: int, how many the model's checkpoint holds. A model of more
            than twice as many is not built.

    Raises:
        UserError: there is no such model, or it is too large.
    """
    try:
        model, _ = make_within(
            lambda: registry.from_config(config), _GROWTH * numbers
        )
    except Exception as error:
        # Keras raises errors of many types on arguments of other types.
        raise UserError(
            f"{path} describes a model that cannot be built "
            f"({packed_files.one_line(error)}); bring it back from a copy"
        ) from error
    if model is not None:
        return model
    raise UserError(
        f"{path} describes a much larger model than the {numbers:,} numbers of "
        "its checkpoint make; bring it back from a copy"
    )


def load_run(run, which="best"):
    """Loads a trained run for inference.

    Args:
        run: run directory written by train.py.
        which: `"best"` or `"last"` checkpoint.

    Returns:
        `(model, vocabulary, config)`: a `SegmentationModel` without what only
        training needs, its `Vocabulary`, and the dict of `RUN/config.json`.

    Raises:
        UserError: a file is missing, damaged, or of another architecture.
        ValueError: for another value of `which`.
    """
    if which not in ("best", "last"):
        raise ValueError(f"which is 'best' or 'last'. Received: which={which}")
    config = read_config(run)
    path = best_path(run) if which == "best" else last_path(run)
    arrays, metadata = checkpoint.load(path)
    if not isinstance(metadata, dict) or not isinstance(
        metadata.get("training_only"), list
    ):
        raise UserError(
            f"{path} does not say what only training needs; bring it back from "
            "a copy"
        )
    without = set(metadata["training_only"])
    arrays = {
        key: array
        for key, array in arrays.items()
        if key not in without and not key.startswith(checkpoint.OPTIMIZER)
    }
    model = build_model(
        config,
        pathlib.Path(run) / "config.json",
        sum(array.size for array in arrays.values()),
    )
    checkpoint.assign(model_variables(model), arrays, path)
    vocabulary = load_vocabulary(run)
    known = config["model"].get("vocabulary_size", len(vocabulary))
    if len(vocabulary) != known:
        raise UserError(
            f"{run}/vocabulary.txt has {len(vocabulary.words)} words, but the "
            f"model was trained with {known - 2}; restore the file"
        )
    return model, vocabulary, config


def load_vocabulary(run):
    """The `Vocabulary` of a run; a `UserError` if the file is missing."""
    path = pathlib.Path(run) / "vocabulary.txt"
    if not path.is_file():
        raise UserError(f"{run} is no whole run: there is no {path}")
    # Brings TensorFlow in, which writing a run does without.
    from keras_vas.data.text.vocabulary import Vocabulary

    return Vocabulary.load(path)


def is_run(run):
    """Whether `run` is a run directory; a `UserError` if it is other things."""
    run = pathlib.Path(run)
    if run.exists() and not run.is_dir():
        raise UserError(f"--workdir={run} is a file; name a folder")
    if (run / "config.json").is_file():
        return True
    own = _begun(run)
    others = [
        path
        for path in _entries(run)
        if path.name not in own and not files.is_temporary(path.name)
    ]
    if others:
        raise UserError(
            f"--workdir={run} exists and is no run of train.py (it holds "
            f"{others[0].name}); name a new or an empty folder"
        )
    return False


def start(run, *, flags, architecture, model, data_manifest, words):
    """Writes manifest, vocabulary and config of a run.

    Args:
        run: run directory, missing or empty.
        flags: dict of flag name to value.
        architecture: name in `models.registry`.
        model: dict, the model's `inference_config()`.
        data_manifest: dict, the manifest of the records.
        words: list of str, the vocabulary in the order of its ids.
    """
    config = {
        "flags": flags,
        "architecture": architecture,
        "model": model,
        "versions": _versions(),
        "data_manifest": data_manifest,
    }
    write(run, config, words)


def write(run, config, words):
    """Writes the manifest, `RUN/vocabulary.txt`, and `RUN/config.json` last.

    Args:
        run: run directory.
        config: dict, see `start`.
        words: list of str, the vocabulary in the order of its ids.
    """
    run = pathlib.Path(run)
    texts = "".join(f"{word}\n" for word in words), json.dumps(config, indent=1)
    contents = [text.encode() for text in texts]
    files.write_json(
        run / MANIFEST,
        {
            name: files.fingerprint(io.BytesIO(content))
            for name, content in zip(_NAMES, contents, strict=True)
        },
    )
    for name, content in zip(_NAMES, contents, strict=True):
        with files.atomic_path(run / name) as temporary:
            temporary.write_bytes(content)


def check_same(run, *, flags, defaults, data_manifest):
    """Raises a UserError if `run` was started with something else.

    Args:
        run: run directory.
        flags: dict of flag name to value; `FREE_FLAGS` may differ.
        defaults: dict of flag name to default, the value of those that the
            run did not know yet.
        data_manifest: dict, the manifest of the records.
    """
    config = read_config(run)
    before = {**defaults, **config["flags"]}
    changed = [
        f"--{name}={_shown(flags[name])} (was {_shown(before[name])})"
        for name in sorted(flags)
        if name not in FREE_FLAGS
        and _shown(before[name]) != _shown(flags[name])
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
    """Removes the unfinished files of a killed process; hold the lock."""
    for folder in (pathlib.Path(run), last_path(run).parent):
        files.remove_leftovers(folder)


def _begun(run):
    """Names of the files of a run whose beginning was interrupted."""
    path = run / MANIFEST
    if not path.is_file():
        return ()
    named = files.read_json(path, "name a new or an empty folder")
    of_a_run = isinstance(named, dict) and tuple(named) == _NAMES
    return (MANIFEST, *_NAMES) if of_a_run else ()


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
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
