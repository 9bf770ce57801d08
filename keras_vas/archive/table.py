"""The rows of an archive, as Parquet.

    video      name of the video
    span       number of its span, from 1
    frame      number of the frame, from 1
    time       seconds since the first frame
    sentence   as it was asked
    score      0..1, how sure the model is that the actor is there at all
    area       pixels of the mask
    box        x, y, width, height in pixels
    rle        the mask as COCO's run lengths, what `pycocotools.mask.decode`
               takes: {"size": [height, width], "counts"}
    thumbnail  JPEG of the frame with the mask, where it is one of the best of
               its span; else null

The metadata of a file, under "keras_vas", is JSON: the video's path, how many
spans and frames it has, and the seconds that each span took.
"""

import dataclasses
import json

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from keras_vas import files
from keras_vas.pictures.overlay import draw, palette_for
from keras_vas.prediction.coco_file import described

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("span", pa.int32()),
        ("frame", pa.int32()),
        ("time", pa.float64()),
        ("sentence", pa.string()),
        ("score", pa.float32()),
        ("area", pa.int64()),
        ("box", pa.list_(pa.float32(), 4)),
        (
            "rle",
            pa.struct(
                [("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())]
            ),
        ),
        ("thumbnail", pa.binary()),
    ]
)
METADATA = b"keras_vas"
_THUMBNAIL_WIDTH = 320
_JPEG_QUALITY = 80


@dataclasses.dataclass(frozen=True, eq=False)
class Moment:
    """A row that is among the best of its sentence."""

    score: float
    time: float
    row: dict


class Moments:
    """The best moments of one sentence, as they come.

    Args:
        most: how many.
        apart: seconds between two of them at least.
    """

    def __init__(self, most, apart):
        self._most, self._apart = most, apart
        self.kept = []

    def takes(self, score, time):
        """Whether a moment would be kept; what it displaces is dropped."""
        near = [x for x in self.kept if abs(x.time - time) < self._apart]
        far = [x for x in self.kept if x not in near]
        if any(x.score >= score for x in near):
            return False
        if len(far) == self._most:
            worst = min(far, key=lambda x: x.score)
            if worst.score >= score:
                return False
            far.remove(worst)
        self.kept = far
        return True


class Rows:
    """Collects what was found in a span.

    Args:
        video: its name.
        span: its number, from 1.
        settings: `settings.Settings`.
    """

    def __init__(self, video, span, settings):
        choice = settings.choice
        limits = (choice.moments, choice.apart) if choice.find else (1, 0.0)
        self._place = {"video": video, "span": span}
        self._settings = settings
        self._moments = [Moments(*limits) for _ in settings.sentences]
        self._rows = []
        self.frames = 0

    def add(self, number, found):
        """Adds a frame.

        Args:
            number: of the frame in the video, from 1.
            found: `result.FrameResult`.
        """
        self.frames += 1
        masks = found.probabilities > self._settings.choice.threshold
        for sentence, moments, mask, score in zip(
            self._settings.sentences,
            self._moments,
            masks,
            found.scores,
            strict=True,
        ):
            best = moments.takes(score, found.time_seconds)
            if not best and self._settings.choice.find:
                continue
            coco = described(mask, score)
            row = {
                **self._place,
                "frame": number,
                "time": round(found.time_seconds, 6),
                "sentence": sentence,
                "score": coco["score"],
                "area": coco["area"],
                "box": coco["bbox"],
                "rle": coco["segmentation"],
            }
            if best:
                shown = {**row, "thumbnail": _thumbnail(found.frame, mask)}
                moments.kept.append(Moment(score, found.time_seconds, shown))
            if not self._settings.choice.find:
                self._rows.append(row)

    def table(self):
        """The rows as a `pyarrow.Table`, by frame and sentence."""
        places = {x: i for i, x in enumerate(self._settings.sentences)}
        rows = {(x["frame"], places[x["sentence"]]): x for x in self._rows}
        for moment in (x for some in self._moments for x in some.kept):
            row = moment.row
            rows[row["frame"], places[row["sentence"]]] = row
        ordered = [rows[place] for place in sorted(rows)]
        return pa.Table.from_pylist(ordered, SCHEMA)


def best(table, choice):
    """The best moments of a video, of those that are the best of its spans.

    Args:
        table: `pyarrow.Table` of all spans.
        choice: `settings.Choice`.

    Returns:
        `pyarrow.Table` of fewer rows, in the same order.
    """
    scores, times, sentences = (
        table[name].to_pylist() for name in ("score", "time", "sentence")
    )
    moments = {x: Moments(choice.moments, choice.apart) for x in sentences}
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        kept = moments[sentences[i]]
        if kept.takes(scores[i], times[i]):
            kept.kept.append(Moment(scores[i], times[i], i))
    return table.take(
        sorted(x.row for kept in moments.values() for x in kept.kept)
    )


def write(path, tables, about):
    """Writes a Parquet file, whole or not at all.

    Args:
        path: `pathlib.Path`.
        tables: iterable of `pyarrow.Table`, a row group each.
        about: dict for the metadata.
    """
    schema = SCHEMA.with_metadata({METADATA: json.dumps(about)})
    with files.atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as file:
            for table in tables:
                file.write_table(table.replace_schema_metadata(schema.metadata))


def about(path):
    """The metadata that `write` wrote, a dict."""
    return json.loads(pq.read_schema(path).metadata[METADATA])


def _thumbnail(image, mask):
    height, width = image.shape[:2]
    scale = min(1.0, _THUMBNAIL_WIDTH / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    drawn = draw(image, [mask], palette_for(image, 1), size)
    encoded = cv2.imencode(
        ".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )[1]
    return encoded.tobytes()
