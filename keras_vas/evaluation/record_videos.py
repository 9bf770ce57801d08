"""The videos of records: A2D Sentences and J-HMDB Sentences frame by frame.

Records hold the frames of clips alone, which is what a model needs to see to
segment the annotated ones.
"""

import functools
import itertools

from keras_vas.data.records import schema
from keras_vas.data.video_sets.video import Sentence, Truth
from keras_vas.video.reader import ARRAY_FPS, Frame, Video


class RecordVideo:
    """A video of records; has what a `SetVideo` has.

    Args:
        index: `records.RecordIndex`.
        name: of the video.
        places: numbers of its records in the index.
    """

    def __init__(self, index, name, places):
        self.name = name
        self.frame_names = tuple(index.keys[i].rsplit("/")[-1] for i in places)
        self._read = functools.lru_cache(maxsize=1)(
            lambda: [index.read(i) for i in places]
        )

    @functools.cached_property
    def sentences(self):
        """Tuple of `Sentence`, each once, of all annotated frames."""
        said = dict.fromkeys(
            pair for record in self._read() for pair in _pairs(record)
        )
        return tuple(
            Sentence(str(i), text, (actor,))
            for i, (text, actor) in enumerate(said)
        )

    def annotated(self):
        """Indices of the annotated frames: all."""
        return list(range(len(self.frame_names)))

    def asks(self, index, sentence):
        """Whether a sentence is a sample of the frame at an index."""
        pair = sentence.text, sentence.objects[0]
        return pair in _pairs(self._read()[index])

    def truth(self, index):
        """`Truth` of the frame at an index."""
        actors = self._read()[index].actors
        return Truth({actor.id: actor.mask for actor in actors})

    def image(self, index):
        """The frame at an index, uint8 RGB `(height, width, 3)`."""
        record = self._read()[index]
        return schema.decode_jpeg(record.clip[schema.TARGET_INDEX])

    def number(self, index):
        """The number in the video, from 1, of the frame at an index."""
        return self._read()[index].frame_number

    def source(self):
        """The `Video` of the frames that clips need."""
        frames = {
            number: data
            for record in self._read()
            for number, data in zip(
                record.clip_frame_numbers, record.clip, strict=True
            )
        }
        return _Sparse(
            name=self.name,
            fps=ARRAY_FPS,
            expected_frames=None,
            path=None,
            again=True,
            _read=lambda: sorted(frames.items()),
        )


class _Sparse(Video):
    """A video some of whose frames are known, by their numbers."""

    def __iter__(self):
        for number, data in self._read():
            yield Frame(number, number / self.fps, schema.decode_jpeg(data))


def of_records(index):
    """The `RecordVideo`s of a `records.RecordIndex`, a list."""
    groups = itertools.groupby(
        range(len(index)), lambda i: schema.video_of(index.keys[i])
    )
    return [
        RecordVideo(index, name.partition("/")[2], list(places))
        for name, places in groups
    ]


def _pairs(record):
    """(text, actor's id) of each query of a record."""
    return [(q.text, record.actors[q.actor].id) for q in record.queries]
