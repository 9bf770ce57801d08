"""Finding and mending what is damaged in a complete data set."""

import collections
import csv
import hashlib

import tqdm

from keras_vas import errors, files
from keras_vas.data.records import (
    example_proto,
    folder,
    reader,
    schema,
    tfrecord,
)
from keras_vas.data.records import manifest as lists
from keras_vas.data.records.workers import write_shards

# What is read in some seconds; larger data sets only when asked to.
VERIFIED_BYTES = 2**32


def mend(output, manifest, plan, convert, *, workers, verify, progress):
    """Makes the files of a data set what its manifest says.

    Shards that are damaged or missing are converted again, and an index that
    does not agree with its shards is written again; all else stays.

    Args:
        output: `pathlib.Path` of the folder.
        manifest: dict, of the records in it.
        plan: list of `shard.Shard` that these records were made by.
        convert: picklable callable (video id, split) -> `shard.Conversion`.
        workers: number of processes.
        verify: whether checksums are compared although sizes and indices are
            right; `None` is up to `VERIFIED_BYTES`.
        progress: show a progress bar.

    Returns:
        Whether this was possible: not where a shard has come out different,
        or the list of what was excluded is damaged.
    """
    entries = [
        shard
        for entry in manifest["splits"].values()
        for shard in entry["shards"]
    ]
    names = lists.shard_names(manifest)
    if [x.name for x in plan] != [x["name"] for x in entries]:
        return False
    if not _exclusions_agree(output, manifest):
        return False
    total = sum(shard["bytes"] for shard in entries)
    if verify is None:
        verify = total <= VERIFIED_BYTES
    if not verify and _looks_whole(output, manifest):
        return True
    bar = tqdm.tqdm(
        total=total,
        desc="verifying",
        unit="B",
        unit_scale=True,
        disable=not progress,
    )
    with bar:
        damaged = [
            shard
            for shard, entry in zip(plan, entries, strict=True)
            if _digest(shard.path, bar) != entry["sha256"]
        ]
    if damaged:
        print(
            f"{len(damaged)} damaged shard(s), the first {damaged[0].path}: "
            "converting them again"
        )
        folder.write_journal(output, lists.file_names(names))
        files.remove_leftovers(output)
        for shard in damaged:
            shard.state_path.unlink(missing_ok=True)
        sums = {shard["name"]: shard["sha256"] for shard in entries}
        summaries = write_shards(damaged, convert, workers, progress)
        if any(x["sha256"] != sums[x["name"]] for x in summaries):
            return False
    for split in manifest["splits"]:
        _mend_index(output, manifest, split)
    folder.remove_journal(output)
    return True


def _looks_whole(output, manifest):
    """Whether sizes and indices are right; no checksum is compared."""
    try:
        for split in manifest["splits"]:
            reader.read_index(output, split)
    except errors.UserError:
        return False
    return not (output / files.UNFINISHED).exists()


def _digest(path, bar):
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
                bar.update(len(block))
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _exclusions_agree(output, manifest):
    try:
        with open(
            output / lists.EXCLUDED, newline="", encoding="utf-8"
        ) as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error):
        return False
    counts = collections.Counter(row[0] for row in rows if row)
    return header == lists.EXCLUDED_HEADER and counts == manifest["excluded"]


def _mend_index(output, manifest, split):
    rows = [lists.INDEX_HEADER]
    for name in lists.shard_names(manifest)[split]:
        with open(output / name, "rb") as file:
            offset = 0
            while (data := tfrecord.read(file, offset)) is not None:
                fields = example_proto.decode_example(data)
                (key,) = fields[schema.KEY]
                queries = len(fields[schema.QUERY_TEXTS])
                rows.append([key.decode(), name, offset, queries])
                offset = file.tell()
    path = output / lists.index_name(split)
    if not path.is_file() or path.read_bytes() != lists.as_csv(rows):
        print(f"{path} is damaged or missing: writing it again")
        lists.write_csv(path, rows)
