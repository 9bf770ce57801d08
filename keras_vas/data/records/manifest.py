"""The lists that come with records: manifest, indices, and exclusions."""

import csv
import io
import pathlib
import re

from keras_vas import errors, files
from keras_vas.data.records import schema

MANIFEST = "manifest.json"
EXCLUDED = "excluded.csv"
INDEX_HEADER = ["key", "shard", "offset", "queries"]
EXCLUDED_HEADER = ["reason", "item"]
WRITE_AGAIN = "write the records again with tfrecords/build_*.py --verify"

_COUNTS = ("videos", "frames", "queries", "samples")
_SHARD_COUNTS = ("bytes", "records", "samples")
_SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}\.tfrecord")


def read_manifest(directory):
    """Reads and checks RECORDS/manifest.json.

    Args:
        directory: folder of the data set.

    Returns:
        dict as `write_dataset` describes it.

    Raises:
        UserError: there is no folder, no manifest, or one of another version
            or kind.
    """
    directory = pathlib.Path(directory)
    path = directory / MANIFEST
    if not directory.is_dir():
        raise errors.UserError(f"there is no folder {directory} with records")
    manifest = files.read_json(path, WRITE_AGAIN)
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if type(version) is int and version != schema.SCHEMA_VERSION:
        raise errors.UserError(
            f"{directory} holds records of schema version {version}, but "
            f"this program reads {schema.SCHEMA_VERSION}; {WRITE_AGAIN}"
        )
    if not is_manifest(manifest):
        raise errors.UserError(
            f"{path} is no manifest of records, or was edited; bring it back "
            f"from a copy, or remove {directory} and {WRITE_AGAIN}"
        )
    return manifest


def is_manifest(content):
    """Whether what was read from a JSON file is a manifest of records."""
    try:
        return (
            type(content["version"]) is int
            and type(content["dataset"]) is str
            and type(content["fingerprint"]) is str
            and all(type(reason) is str for reason in content["excluded"])
            and all(map(_is_count, content["excluded"].values()))
            and len(content["splits"]) > 0
            and all(_is_split(*item) for item in content["splits"].items())
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _is_split(name, split):
    shards = split["shards"]
    sums = {
        count: sum(shard[count] for shard in shards) for count in _SHARD_COUNTS
    }
    return (
        name in schema.SUBSETS
        and all(_is_count(split[count]) for count in _COUNTS)
        and all(_is_shard(name, shard) for shard in shards)
        and sums["records"] == split["frames"]
        and sums["samples"] == split["samples"] > 0
    )


def _is_shard(split, shard):
    named = _SHARD.fullmatch(shard["name"])
    return (
        named is not None
        and named[1] == split
        and all(_is_count(shard[count]) for count in _SHARD_COUNTS)
        and re.fullmatch("[0-9a-f]{64}", shard["sha256"]) is not None
    )


def _is_count(value):
    return type(value) is int and 0 <= value < 2**63


def index_name(split):
    """Name of the index of a split."""
    return f"{split}.index.csv"


def file_names(splits):
    """Names of the files of a data set.

    Args:
        splits: dict from split to the names of its shards.

    Returns:
        Set of str.
    """
    return {MANIFEST, EXCLUDED}.union(
        map(index_name, splits), *map(set, splits.values())
    )


def is_file_name(name):
    """Whether a file of a data set may be called this."""
    return (
        name in file_names(dict.fromkeys(schema.SUBSETS, ()))
        or _SHARD.fullmatch(name) is not None
    )


def shard_names(manifest):
    """Dict from split to a list of the names of its shards."""
    return {
        split: [shard["name"] for shard in entry["shards"]]
        for split, entry in manifest["splits"].items()
    }


def as_csv(rows):
    """Rows as the `bytes` of a UTF-8 CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write_csv(path, rows):
    """Writes a UTF-8 CSV file, whole or not at all."""
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(as_csv(rows))
