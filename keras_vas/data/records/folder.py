"""The folder that records are written to: whose it is, and what it holds.

A program removes what it can prove to be its own alone: the files that its
manifest names, those that the journal of an unfinished run names, and the
temporary files of `files.atomic_path`. A folder with anything else in it is
refused.
"""

import shutil

from keras_vas import errors, files
from keras_vas.data.records import manifest as lists

_JOURNAL = "journal.json"
_MADE_BY = "keras_vas records"


def read_own_manifest(output, dataset):
    """The manifest of the records that stand in a folder.

    Args:
        output: `pathlib.Path` of the folder.
        dataset: name of the data set that is to be written there.

    Returns:
        dict, or `None` if there is no manifest.

    Raises:
        UserError: it is no manifest, or that of another data set.
    """
    path = output / lists.MANIFEST
    if not path.exists():
        return None
    manifest = files.read_json(path, "name another folder")
    if not lists.is_manifest(manifest):
        raise errors.UserError(
            f"{path} is no manifest of records; name another folder, or "
            "remove this one"
        )
    if manifest["dataset"] != dataset:
        raise errors.UserError(
            f"{output} holds the records of {manifest['dataset']}; name "
            "another folder, or remove this one"
        )
    return manifest


def claim(output, plan, manifest):
    """Makes a folder ready for a plan; hold its lock.

    Removes what earlier runs have left, except for the shards that are
    finished and the same.

    Args:
        output: `pathlib.Path` of the folder.
        plan: list of `shard.Shard`.
        manifest: of the records in it, or `None`.

    Raises:
        UserError: the folder holds something else, which stays.
    """
    splits = {}
    for shard in plan:
        splits.setdefault(shard.split, []).append(shard.name)
    own = _journal(output)
    if manifest is not None:
        own |= lists.file_names(lists.shard_names(manifest))
    state = output / files.UNFINISHED
    for path in output.iterdir():
        if path.name not in own and path != state:
            if not files.is_temporary(path.name):
                raise errors.UserError(
                    f"{output} holds something else ({path.name}); name a new "
                    "or an empty folder"
                )
    own |= lists.file_names(splits)
    write_journal(output, own)
    files.remove_leftovers(output)
    kept = {shard.name for shard in plan if shard.finished()}
    # The manifest first: where it stands, the records are complete.
    for name in sorted(own - kept, key=lambda name: name != lists.MANIFEST):
        (output / name).unlink(missing_ok=True)


def write_journal(output, names):
    """Notes which files a run may write, before it does."""
    state = output / files.UNFINISHED
    state.mkdir(exist_ok=True)
    files.remove_leftovers(state)
    files.write_json(
        state / _JOURNAL, {"made_by": _MADE_BY, "files": sorted(names)}
    )


def remove_journal(output):
    """Ends a run whose files are complete."""
    state = output / files.UNFINISHED
    if state.exists():
        shutil.rmtree(state)


def _journal(output):
    state = output / files.UNFINISHED
    path = state / _JOURNAL
    if not state.is_dir() or all(
        files.is_temporary(entry.name) for entry in state.iterdir()
    ):
        return set()
    advice = f"name another folder, or remove {output}"
    journal = files.read_json(path, advice)
    try:
        if journal["made_by"] == _MADE_BY:
            return set(filter(lists.is_file_name, journal["files"]))
    except (KeyError, TypeError):
        pass
    raise errors.UserError(f"{path} is no journal of records; {advice}")
