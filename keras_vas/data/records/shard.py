"""Writing one shard of records: the unit of work of a converter."""

import collections
import dataclasses
import hashlib
import json

from keras_vas import files
from keras_vas.data.records import schema, tfrecord


class StoppedError(Exception):
    """The shard was given up because another one failed."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a data set's converter makes of one video.

    Attributes:
        frames: list of `schema.AnnotatedFrame`, each with a query or more.
        excluded: list of (reason, item): everything that the annotation
            names and that became no sample, each by its reason.
    """

    frames: list
    excluded: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file to be written.

    Attributes:
        output: folder of the data set, a `pathlib.Path`.
        name: of the file.
        dataset: name of the data set.
        split: "train" or "test".
        video_ids: tuple of the videos in it, in the file's order.
        fingerprint: of everything that decides about the content.
    """

    output: object
    name: str
    dataset: str
    split: str
    video_ids: tuple
    fingerprint: str

    @property
    def path(self):
        """Final path of the file."""
        return self.output / self.name

    @property
    def state_path(self):
        """Path of the summary that says that the file is complete."""
        return self.output / files.UNFINISHED / f"{self.name}.json"

    def finished(self):
        """Summary of the shard if an earlier run has written it, or None."""
        try:
            summary = json.loads(self.state_path.read_text())
            same = summary["fingerprint"] == self.fingerprint
            if same and self.path.stat().st_size == summary["bytes"]:
                return summary
        except (OSError, ValueError, KeyError):
            pass
        return None


def write(shard, convert, report):
    """Writes a shard and then its summary, each complete or not at all.

    Args:
        shard: `Shard`.
        convert: callable (video id, split) -> `Conversion`.
        report: callable that is told the id of the video that begins, and
            None after the last; it raises `StoppedError` to give up.

    Returns:
        dict: the shard's "name", "bytes", "sha256", "fingerprint", "videos"
        (with a sample), "queries", "rows" [[key, offset, queries], ...] and
        "excluded" [[reason, item], ...].
    """
    rows, excluded = [], []
    actors_and_texts = collections.defaultdict(set)
    digest = hashlib.sha256()
    size = 0
    try:
        with files.atomic_path(shard.path) as path, open(path, "wb") as file:
            for video_id in shard.video_ids:
                report(video_id)
                conversion = convert(video_id, shard.split)
                excluded += [list(item) for item in conversion.excluded]
                for frame in conversion.frames:
                    _check(frame, shard, video_id)
                    data = tfrecord.frame(schema.serialize(frame))
                    file.write(data)
                    digest.update(data)
                    rows.append([frame.key, size, len(frame.queries)])
                    size += len(data)
                    actors_and_texts[video_id].update(
                        (frame.actors[q.actor].id, q.text)
                        for q in frame.queries
                    )
    except OSError as error:
        if error.filename is None:
            error.filename = str(shard.path)
        raise
    report(None)
    summary = {
        "name": shard.name,
        "bytes": size,
        "sha256": digest.hexdigest(),
        "fingerprint": shard.fingerprint,
        "videos": len(actors_and_texts),
        "queries": sum(map(len, actors_and_texts.values())),
        "rows": rows,
        "excluded": excluded,
    }
    files.write_json(shard.state_path, summary)
    return summary


def _check(frame, shard, video_id):
    expected = (shard.dataset, video_id, shard.split)
    received = (frame.dataset, frame.video_id, frame.subset)
    if expected != received:
        raise ValueError(
            "A frame must belong to the data set, video and split that were "
            f"asked for, {expected}. Received: {received}"
        )
    if not frame.queries:
        raise ValueError(
            f"A record must hold a query. Received: key={frame.key}"
        )
