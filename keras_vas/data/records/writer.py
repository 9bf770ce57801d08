"""Writing a data set of records in parallel; the layout is in `records`."""

import collections
import functools
import hashlib
import json
import pathlib
import sys

import cv2
import numpy as np

from keras_vas import errors, files
from keras_vas.data.records import (
    example_proto,
    fingerprint,
    folder,
    messages,
    schema,
    source_files,
    tfrecord,
)
from keras_vas.data.records import manifest as lists
from keras_vas.data.records import shard as shard_files
from keras_vas.data.records.mending import mend
from keras_vas.data.records.workers import write_shards

_ENCODING = (schema, example_proto, messages, tfrecord)


def write_dataset(
    output,
    dataset,
    videos,
    convert,
    *,
    workers,
    shards,
    source_fingerprint,
    code=(),
    excluded=(),
    verify=None,
    progress=True,
):
    """Converts a data set to records.

    The work is done a shard at a time by `workers` processes. The bytes do
    not depend on their number. Videos are ordered by a hash of their names,
    so that every shard is a fair sample. A run that was interrupted is
    continued: finished shards are kept if sources, converter and arguments
    are the same; otherwise all begins anew. Of a complete data set, what is
    damaged is mended.

    Args:
        output: folder for the data set.
        dataset: its name, the first part of every key.
        videos: dict from split to a list of video ids. A split without
            videos is left out.
        convert: picklable callable (video id, split) -> `Conversion`.
        workers: number of processes; 1 works in the calling process.
        shards: dict from split to its number of files, at most one a video.
        source_fingerprint: str that changes when the sources do.
        code: modules that decide the records, beside that of `convert`.
        excluded: (reason, item) pairs that are known already.
        verify: whether a complete data set is read again to compare its
            checksums; `None` is up to `mending.VERIFIED_BYTES`.
        progress: show a progress bar.

    Returns:
        dict, the manifest: "version", "dataset", "splits": {split: {"videos",
        "frames", "queries", "samples", "shards": [{"name", "bytes", "records",
        "samples", "sha256"}]}}, "excluded": {reason: count}, "fingerprint".
        Videos, frames and queries (distinct sentences per actor of a video)
        are those with a sample; a sample is a (frame, query) pair.

    Raises:
        UserError: no samples, a key that occurs twice, a video id that is no
            file name, another data set, another run or anything else in the
            folder, a worker that died.
        ValueError: `workers` or a number of shards is less than 1, or
            `convert` returned frames that are no valid records.
        OSError: the disk is full, or the folder cannot be written.
    """
    if min(workers, *shards.values()) < 1:
        raise ValueError(
            "workers and shards must be 1 or more. "
            f"Received: workers={workers}, shards={shards}"
        )
    output = pathlib.Path(output)
    excluded = [list(item) for item in excluded]
    plan = _plan(
        output,
        dataset,
        videos,
        shards,
        [source_fingerprint, _code(convert, code), excluded],
    )
    with files.lock(output):
        manifest = folder.read_own_manifest(output, dataset)
        if manifest is not None:
            if manifest["fingerprint"] == plan[0].fingerprint and mend(
                output,
                manifest,
                plan,
                convert,
                workers=workers,
                verify=verify,
                progress=progress,
            ):
                return manifest
            print(
                f"{output} is damaged or was made from other sources, with "
                "other arguments or by another version: writing it anew"
            )
        folder.claim(output, plan, manifest)
        summaries = write_shards(plan, convert, workers, progress)
        return _finish(output, dataset, plan, summaries, excluded)


def _plan(output, dataset, videos, shards, sources):
    everything = [v for ids in videos.values() for v in ids]
    twice = [v for v, n in collections.Counter(everything).items() if n > 1]
    if twice:
        raise errors.UserError(
            f"{len(twice)} video(s) are listed twice, the first: {twice[0]}; "
            "list every video once, in one split"
        )
    for video_id in everything:
        if not source_files.is_file_name(video_id):
            raise errors.UserError(
                f"the video id {video_id!r} of {dataset} is no file name"
            )
    if not everything:
        raise errors.UserError(f"no video of {dataset} to convert was found")
    digest = _digest(dataset, videos, shards, sources)
    plan = []
    for split, ids in videos.items():
        if not ids:
            continue
        ordered = sorted(ids, key=lambda v: (_digest(dataset, v), v))
        count = min(shards[split], len(ids))
        for number, part in enumerate(
            np.array_split(np.array(ordered, object), count)
        ):
            name = f"{split}-{number:05d}-of-{count:05d}.tfrecord"
            plan.append(
                shard_files.Shard(
                    output, name, dataset, split, tuple(part), digest
                )
            )
    return plan


def _digest(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _code(convert, others):
    """What decides a record's bytes: the code, and OpenCV's codecs."""
    while isinstance(convert, functools.partial):
        convert = convert.func
    modules = (sys.modules[convert.__module__], *others, *_ENCODING)
    return [fingerprint.of_code(modules), cv2.__version__]


def _finish(output, dataset, plan, summaries, excluded):
    splits = {}
    rows = {}
    for shard, summary in zip(plan, summaries, strict=True):
        counts = splits.setdefault(
            shard.split,
            {
                "videos": 0,
                "frames": 0,
                "queries": 0,
                "samples": 0,
                "shards": [],
            },
        )
        samples = sum(queries for _, _, queries in summary["rows"])
        counts["videos"] += summary["videos"]
        counts["frames"] += len(summary["rows"])
        counts["queries"] += summary["queries"]
        counts["samples"] += samples
        counts["shards"].append(
            {
                "name": shard.name,
                "bytes": summary["bytes"],
                "records": len(summary["rows"]),
                "samples": samples,
                "sha256": summary["sha256"],
            }
        )
        rows.setdefault(shard.split, []).extend(
            [key, shard.name, offset, queries]
            for key, offset, queries in summary["rows"]
        )
        excluded = excluded + summary["excluded"]
    _check_counts(splits, rows, excluded)
    manifest = {
        "version": schema.SCHEMA_VERSION,
        "dataset": dataset,
        "splits": splits,
        "excluded": _exclusion_counts(excluded),
        "fingerprint": plan[0].fingerprint,
    }
    for split, split_rows in rows.items():
        lists.write_csv(
            output / lists.index_name(split), [lists.INDEX_HEADER, *split_rows]
        )
    lists.write_csv(
        output / lists.EXCLUDED, [lists.EXCLUDED_HEADER, *sorted(excluded)]
    )
    files.write_json(output / lists.MANIFEST, manifest)
    folder.remove_journal(output)
    return manifest


def _exclusion_counts(excluded):
    counts = collections.Counter(reason for reason, _ in excluded)
    return dict(sorted(counts.items()))


def _check_counts(splits, rows, excluded):
    for split, counts in splits.items():
        if not counts["samples"]:
            reasons = _exclusion_counts(excluded)
            raise errors.UserError(
                f"the {split} split has no samples; excluded: "
                + ", ".join(f"{n} {reason}" for reason, n in reasons.items())
            )
    keys = collections.Counter(
        key for split_rows in rows.values() for key, *_ in split_rows
    )
    key, count = keys.most_common(1)[0]
    if count > 1:
        raise errors.UserError(
            f"the key {key} occurs {count} times; every frame of a video must "
            "be listed once"
        )
