"""Predicted masks on disk, as the servers of the benchmarks take them."""

import collections
import dataclasses
import pathlib
import zipfile

import numpy as np
from PIL import Image

from keras_vas.errors import UserError
from keras_vas.files import atomic_path
from keras_vas.video.image_file import read_labels

ANNOTATORS = 4
_LABELS = range(1, 255)
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class BinaryMasks:
    """PREFIX/<video>/<sentence>/<frame>.png, 0 and 255.

    Attributes:
        prefix: folders in front of those of the videos, such as
            "Annotations"; "" for none.
    """

    prefix: str = ""

    def runs(self, sentences):
        """The run of each sentence: all are of one."""
        return [0] * len(sentences)

    def decide(self, video, probabilities, threshold):
        """Masks of a frame.

        Args:
            video: `SetVideo`.
            probabilities: float `(sentences, height, width)`.
            threshold: what a probability must exceed.

        Returns:
            Bool `(sentences, height, width)`.
        """
        return probabilities > threshold

    def write(self, root, video, frame_name, masks):
        """Writes the masks of a frame, those of `decide`."""
        for sentence, mask in zip(video.sentences, masks, strict=True):
            path = self._path(root, video, sentence, frame_name)
            _write(path, Image.fromarray(mask.astype(np.uint8) * 255))

    def read(self, root, video, frame_name, shape):
        """Reads what `write` has written.

        Args:
            root: folder.
            video: `SetVideo`.
            frame_name: str.
            shape: `(height, width)` that masks must have.

        Raises:
            UserError: a mask is missing, damaged or of another size.
        """
        paths = [
            self._path(root, video, sentence, frame_name)
            for sentence in video.sentences
        ]
        return np.stack([_read(path, shape) > 0 for path in paths])

    def _path(self, root, video, sentence, frame_name):
        folder = pathlib.Path(root, self.prefix, video.name, sentence.id)
        return folder / f"{frame_name}.png"


@dataclasses.dataclass(frozen=True)
class AnnotatorMasks:
    """anno_<k>/<video>/<frame>.png, object numbers with a palette.

    The k-th sentence about an object is that of annotator k, whose run is
    evaluated by itself. Within a run a pixel belongs to one object at most:
    where several exceed the threshold, to the most probable one.
    """

    def runs(self, sentences):
        """The annotator of each sentence, from 0: list of int.

        Raises:
            UserError: a sentence does not mean one object with a number.
        """
        seen = collections.Counter()
        runs = []
        for sentence in sentences:
            _label(sentence)
            runs.append(seen[sentence.objects])
            seen[sentence.objects] += 1
        return runs

    def decide(self, video, probabilities, threshold):
        """As of `BinaryMasks`."""
        masks = probabilities > threshold
        runs = np.array(self.runs(video.sentences))
        for run in set(runs):
            own = np.flatnonzero(runs == run)
            best = own[np.argmax(probabilities[own], axis=0)]
            masks[own] &= best == own[:, None, None]
        return masks

    def write(self, root, video, frame_name, masks):
        """As of `BinaryMasks`."""
        runs = self.runs(video.sentences)
        for run in sorted(set(runs)):
            labels = np.zeros(masks.shape[1:], np.uint8)
            for sentence, mask, own in zip(
                video.sentences, masks, runs, strict=True
            ):
                if own == run:
                    labels[mask] = _label(sentence)
            image = Image.fromarray(labels)
            image.putpalette(_palette())
            _write(self._path(root, video, run, frame_name), image)

    def read(self, root, video, frame_name, shape):
        """As of `BinaryMasks`."""
        runs = self.runs(video.sentences)
        labels = {
            run: _read(self._path(root, video, run, frame_name), shape)
            for run in set(runs)
        }
        return np.stack(
            [
                labels[run] == _label(sentence)
                for sentence, run in zip(video.sentences, runs, strict=True)
            ]
        )

    def _path(self, root, video, run, frame_name):
        folder = pathlib.Path(root, f"anno_{run}", video.name)
        return folder / f"{frame_name}.png"


def pack(folder, path):
    """Writes all PNG files below a folder as a zip file, the same bytes for
    the same files.
    """
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(folder.rglob("*.png")):
                name = str(file.relative_to(folder))
                archive.writestr(
                    zipfile.ZipInfo(name, _FIRST_DATE), file.read_bytes()
                )


def _label(sentence):
    (name,) = sentence.objects if len(sentence.objects or ()) == 1 else ("",)
    if name.isascii() and name.isdigit() and int(name) in _LABELS:
        return int(name)
    raise UserError(
        f"the sentence {sentence.id}, {sentence.text!r}, must mean one object "
        "with a number (obj_id) from 1 to 254; mend meta_expressions.json"
    )


def _palette():
    """DAVIS's colours: the bits of a number, spread over red, green, blue."""
    return [
        sum(
            (number >> (3 * place + channel) & 1) << (7 - place)
            for place in range(8)
        )
        for number in range(256)
        for channel in range(3)
    ]


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _read(path, shape):
    labels, _ = read_labels(path)
    if labels.shape != shape:
        raise UserError(
            f"{path} has {labels.shape[1]} x {labels.shape[0]} pixels and its "
            f"frame {shape[1]} x {shape[0]}; write masks of the frame's size"
        )
    return labels
