"""Reading the records of a split by their index."""

import csv
import dataclasses
import pathlib

import numpy as np
import tqdm

from keras_vas import errors
from keras_vas.data.records import manifest as lists
from keras_vas.data.records import parsing, schema, tfrecord

_LONGEST_KEY = 1000


@dataclasses.dataclass(frozen=True)
class CorruptRecord:
    """A record that cannot be read: its shard's path, its key, and why."""

    shard: str
    key: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class RecordIndex:
    """Where every record of a split is; a sample is a (record, query) pair.

    Attributes:
        directory: `pathlib.Path` of the data set.
        split: "train" or "test".
        manifest: dict, the data set's manifest.
        keys: str array (records,).
        paths: str array (records,), the shard that holds the record.
        offsets: int64 array (records,), of the record's frame in its shard.
        queries: int64 array (records,), how many queries it holds.
        corrupt: tuple of the `CorruptRecord` that were left out.
    """

    directory: pathlib.Path
    split: str
    manifest: dict
    keys: np.ndarray
    paths: np.ndarray
    offsets: np.ndarray
    queries: np.ndarray
    corrupt: tuple = ()

    def __len__(self):
        return len(self.keys)

    @property
    def num_samples(self):
        """How many (record, query) pairs there are."""
        return int(self.queries.sum())

    @property
    def sample_records(self):
        """int64 array (samples,): the record of each sample."""
        return np.repeat(np.arange(len(self)), self.queries)

    @property
    def sample_queries(self):
        """int64 array (samples,): the query of each sample in its record."""
        firsts = np.cumsum(self.queries) - self.queries
        return np.arange(self.num_samples) - np.repeat(firsts, self.queries)

    @property
    def sample_ids(self):
        """List of the samples' ids, "<key>/<query>"."""
        pairs = zip(self.sample_records, self.sample_queries, strict=True)
        return [f"{self.keys[record]}/{query}" for record, query in pairs]

    @property
    def videos(self):
        """Str array (records,): the video of each, see `schema.video_of`."""
        return np.array([schema.video_of(key) for key in self.keys])

    def read(self, record):
        """Reads one record without TensorFlow.

        Args:
            record: its number in the index.

        Returns:
            `schema.AnnotatedFrame` with JPEG bytes as its clip.

        Raises:
            UserError: the record is corrupt or of another schema version.
        """
        path, key = self.paths[record], self.keys[record]
        try:
            with open(path, "rb") as file:
                return _read_checked(file, self.offsets[record], key)
        except (tfrecord.CorruptRecordError, ValueError) as error:
            raise errors.UserError(
                f"{path} is corrupt: record {key}: {error}; "
                f"{lists.WRITE_AGAIN}, or go on without it with --skip_corrupt"
            ) from error

    def subset(self, chosen):
        """The index of some of the records.

        Args:
            chosen: int array of record numbers, or bool array (records,).

        Returns:
            `RecordIndex`.
        """
        return dataclasses.replace(
            self,
            keys=self.keys[chosen],
            paths=self.paths[chosen],
            offsets=self.offsets[chosen],
            queries=self.queries[chosen],
        )


def read_index(directory, split, *, skip_corrupt=False):
    """Reads the index of a split and checks that its shards are whole.

    Sizes are compared with the manifest; checksums are read only when
    `skip_corrupt` is set, since that costs one pass over the data.

    Args:
        directory: folder of the data set.
        split: "train" or "test".
        skip_corrupt: leave the records out that cannot be read, instead of
            raising; they stand in the index's `corrupt`.

    Returns:
        `RecordIndex`.

    Raises:
        UserError: the folder, its manifest, the split or a shard is missing,
            truncated, or of another version.
    """
    index = load_index(pathlib.Path(directory), split)
    if not skip_corrupt:
        for shard in index.manifest["splits"][split]["shards"]:
            _check_size(index.directory / shard["name"], shard["bytes"])
        return index
    corrupt = tuple(_verify(index, progress=True))
    bad = {record.key for record in corrupt}
    whole = np.array([key not in bad for key in index.keys], bool)
    if not whole.any():
        raise errors.UserError(
            f"no record of the {split} split in {directory} can be read; "
            + lists.WRITE_AGAIN
        )
    return dataclasses.replace(index.subset(whole), corrupt=corrupt)


def join(indices):
    """One index of several data sets.

    Args:
        indices: list of `RecordIndex` of distinct data sets.

    Returns:
        `RecordIndex`: their records in order; its directory and split are
        those of the first, its manifest has theirs in a list, `parts`.

    Raises:
        UserError: two of them have a record of the same key.
    """
    if len(indices) == 1:
        return indices[0]
    keys = np.concatenate([index.keys for index in indices])
    known, counts = np.unique(keys, return_counts=True)
    paths = np.concatenate([index.paths for index in indices])
    if (counts > 1).any():
        key = known[counts > 1][0]
        folders = [
            str(pathlib.Path(path).parent) for path in paths[keys == key]
        ]
        raise errors.UserError(
            f"{' and '.join(folders)} have the same record {key}; give folders "
            "of different data sets"
        )
    return dataclasses.replace(
        indices[0],
        manifest={"parts": [index.manifest for index in indices]},
        keys=keys,
        paths=paths,
        offsets=np.concatenate([index.offsets for index in indices]),
        queries=np.concatenate([index.queries for index in indices]),
        corrupt=sum((index.corrupt for index in indices), ()),
    )


def verify(directory, split, *, progress=False):
    """Reads every record of a split and compares the checksums.

    Args:
        directory: folder of the data set.
        split: "train" or "test".
        progress: show a progress bar.

    Returns:
        List of `CorruptRecord`, empty when all is well.
    """
    index = load_index(pathlib.Path(directory), split)
    return list(_verify(index, progress))


def corruption_error(index):
    """The `UserError` that names what is corrupt, after a read has failed.

    Args:
        index: `RecordIndex` of one data set, or of several.

    Returns:
        `UserError`, or None when every record of their splits can be read.
    """
    folders = dict.fromkeys(pathlib.Path(path).parent for path in index.paths)
    corrupt = [x for folder in folders for x in verify(folder, index.split)]
    if not corrupt:
        return None
    first = corrupt[0]
    return errors.UserError(
        f"{len(corrupt)} corrupt record(s) in the {index.split} split, the "
        f"first: {first.shard}: {first.key}: {first.reason}; "
        f"{lists.WRITE_AGAIN}, or go on without them with --skip_corrupt"
    )


def load_index(directory, split):
    """Reads the index of a split, and nothing of its shards.

    Args:
        directory: `pathlib.Path` of the data set.
        split: "train" or "test".

    Returns:
        `RecordIndex`.

    Raises:
        UserError: the manifest or the index is missing or damaged, they do
            not agree, or there is no such split.
    """
    manifest = lists.read_manifest(directory)
    if split not in manifest["splits"]:
        raise errors.UserError(
            f"{directory} has no {split} split; it has: "
            + ", ".join(manifest["splits"])
        )
    path = directory / lists.index_name(split)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        keys, names, offsets, queries = zip(*rows, strict=True)
        if max(map(len, keys)) > _LONGEST_KEY:
            raise ValueError
        index = RecordIndex(
            directory,
            split,
            manifest,
            keys=np.array(keys),
            paths=np.array([str(directory / name) for name in names]),
            offsets=np.array(list(map(int, offsets)), np.int64),
            queries=np.array(list(map(int, queries)), np.int64),
        )
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise errors.UserError(
            f"{path} is missing or damaged; {lists.WRITE_AGAIN}"
        ) from error
    if header != lists.INDEX_HEADER or not _agrees(index, names):
        raise errors.UserError(
            f"{path} does not agree with {lists.MANIFEST}; {lists.WRITE_AGAIN}"
        )
    return index


def _agrees(index, names):
    """Whether the records of an index are those that its manifest counts."""
    shards = index.manifest["splits"][index.split]["shards"]
    names = np.array(names)
    if set(names) - {shard["name"] for shard in shards}:
        return False
    for shard in shards:
        inside = names == shard["name"]
        offsets = index.offsets[inside]
        if (
            inside.sum() != shard["records"]
            or index.queries[inside].sum() != shard["samples"]
            or (inside.any() and offsets[0] != 0)
            or (np.diff(offsets) <= 0).any()
            or (offsets >= shard["bytes"]).any()
        ):
            return False
    return bool(
        (index.queries > 0).all() and len(set(index.keys)) == len(index)
    )


def _check_size(path, expected):
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        what = "is missing"
    elif size < expected:
        what = f"is truncated: it has {size} of {expected} bytes"
    elif size > expected:
        what = f"has {size} bytes instead of {expected}"
    else:
        return
    raise errors.UserError(
        f"{path} {what}; {lists.WRITE_AGAIN}, or go on without the records "
        "that cannot be read with --skip_corrupt"
    )


def _verify(index, progress):
    bar = tqdm.tqdm(
        total=len(index),
        desc=f"checking {index.split}",
        unit="record",
        disable=not progress,
    )
    with bar:
        for path in dict.fromkeys(index.paths):
            records = np.flatnonzero(index.paths == path)
            try:
                with open(path, "rb") as file:
                    for record in records:
                        bar.update()
                        key = index.keys[record]
                        try:
                            frame = _read_checked(
                                file, index.offsets[record], key
                            )
                            parsing.check_clip(frame)
                        except (
                            tfrecord.CorruptRecordError,
                            ValueError,
                        ) as error:
                            yield CorruptRecord(path, key, str(error))
            except FileNotFoundError:
                for key in index.keys[records]:
                    yield CorruptRecord(path, key, "the file is missing")


def _read_checked(file, offset, key):
    """The `schema.AnnotatedFrame` of a record, a ValueError if it is none."""
    data = tfrecord.read(file, int(offset))
    if data is None:
        raise tfrecord.CorruptRecordError("the file ends before the record")
    frame = parsing.deserialize(data)
    if frame.key != key:
        raise tfrecord.CorruptRecordError("another record stands there")
    return frame
