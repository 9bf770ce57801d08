"""What runs on the machines of a cluster: planning and segmenting spans.

Rows are dicts that Ray Data carries. A video's row has its `key`, `name` and
`path`; a span's row also its number `span` of `spans`, `part` as JSON and,
where something is wrong, the `reason`.
"""

import dataclasses
import json
import pathlib
import platform
import time

import cv2

from keras_vas import __version__
from keras_vas.archive import table
from keras_vas.archive.settings import fingerprint
from keras_vas.data.records.schema import CLIP_OFFSETS
from keras_vas.errors import UserError
from keras_vas.video import parts


def plan(row, choice):
    """Yields the rows of a video's spans.

    Args:
        row: of a video.
        choice: `settings.Choice`.
    """
    # A span that begins with a frame that is segmented.
    length = -(-choice.span // choice.every) * choice.every
    found, reason = [parts.WHOLE], ""
    try:
        path = pathlib.Path(row["path"])
        before, after = -CLIP_OFFSETS[0], CLIP_OFFSETS[-1]
        found = parts.split(path, length, before, after)
    except (UserError, OSError, cv2.error) as error:
        reason = _one_line(error)
    for number, part in enumerate(found, 1):
        yield {
            **row,
            "span": number,
            "spans": len(found),
            "part": json.dumps(dataclasses.asdict(part)),
            "reason": reason,
        }


def load(settings, threads):
    """Loads a model into a process that computes in some threads.

    Args:
        settings: `settings.Settings`.
        threads: int.

    Returns:
        `predictor.Predictor`.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    from keras_vas.prediction import predictor

    return predictor.load(*dataclasses.astuple(settings.source))


class Worker:
    """Holds one model and segments span after span.

    Args:
        settings: `settings.Settings`.
        folder: `folder.Folder` of the results.
        load: callable of the settings -> `predictor.Predictor`.
    """

    def __init__(self, settings, folder, load):
        self._settings, self._folder = settings, folder
        self._refusal = ""
        here = f"the worker on {platform.node()}"
        if settings.version != __version__:
            self._refusal = (
                f"{here} has keras_vas {__version__}, and this program is "
                f"{settings.version}; install the same on all machines"
            )
            return
        try:
            self._predictor = load(settings)
            found = fingerprint(settings.source.model, self._predictor)
        except (UserError, OSError) as error:
            self._refusal = f"{here} has no such model: {_one_line(error)}"
            return
        if found != settings.fingerprint:
            self._refusal = (
                f"{here} finds another model at {settings.source.model}; "
                "bring the same files to all machines"
            )

    def __call__(self, row):
        """Segments the span of a row; its file is whole or not there.

        Returns:
            Dict of `key`, `span`, `spans`, the `reason` why there is no
            result of this video, and the `refusal` why this worker gives none
            of any; "" where there is none.
        """
        done = {name: row[name] for name in ("key", "span", "spans", "reason")}
        done["refusal"] = self._refusal
        path = self._folder.part(row["key"], row["span"], row["spans"])
        if not (row["reason"] or self._refusal or path.exists()):
            try:
                self._segment(row, path)
            except (UserError, OSError, cv2.error) as error:
                done["reason"] = _one_line(error)
        return done

    def _segment(self, row, path):
        started = time.monotonic()
        choice = self._settings.choice
        part = json.loads(row["part"])
        part = parts.Part(**{**part, "times": tuple(part["times"])})
        which = {"every": choice.every}
        if part != parts.WHOLE:
            numbers = range(part.start, part.stop, choice.every)
            which = {"times": [part.times[n - part.first] for n in numbers]}
        video = parts.open_part(pathlib.Path(row["path"]), part)
        rows = table.Rows(row["name"], row["span"], self._settings)
        for found in self._predictor.stream(
            video,
            self._settings.sentences,
            compute_every=choice.compute_every,
            **which,
        ):
            number = found.number + part.first - 1
            rows.add(number, found)
        if part == parts.WHOLE:
            parts.check_readable(video, number + choice.every - 1)
        about = {
            "path": row["path"],
            "spans": row["spans"],
            "frames": rows.frames,
            "seconds": [round(time.monotonic() - started, 4)],
        }
        table.write(path, [rows.table()], about)


def _one_line(error):
    return " ".join(str(error).split())
