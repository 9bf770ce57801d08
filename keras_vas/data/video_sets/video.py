"""A video of a data set: its frames, its sentences, its masks."""

import dataclasses

import numpy as np

from keras_vas.video.image_file import read_image
from keras_vas.video.reader import of_pictures


@dataclasses.dataclass(frozen=True)
class Sentence:
    """What somebody wrote about a video.

    Attributes:
        id: of the sentence, unique in its video.
        text: unchanged.
        objects: tuple of the ids of what it means, several for a group and
            none for what is not there; `None` where the data set does not
            tell.
    """

    id: str
    text: str
    objects: tuple | None


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """The masks of one frame.

    Attributes:
        masks: dict from an object's id to its bool mask `(height, width)`;
            objects that are not to be seen may be missing.
        void: bool `(height, width)`, pixels that do not count, or `None`.
    """

    masks: dict
    void: np.ndarray | None = None

    def meant(self, sentence, shape):
        """The bool mask of all that a sentence means, `(height, width)`.

        Args:
            sentence: `Sentence` whose objects are known.
            shape: `(height, width)`.
        """
        mask = np.zeros(shape, bool)
        for name in sentence.objects:
            if name in self.masks:
                mask |= self.masks[name]
        return mask


@dataclasses.dataclass(frozen=True, eq=False)
class SetVideo:
    """A video of a data set.

    Attributes:
        name: of the video, a file name.
        frame_names: tuple of str, in the order of time.
        frames: tuple of `pathlib.Path` of the frames' images.
        sentences: tuple of `Sentence`.
        masks: what has the methods `has(index, frame_name)` and
            `read(index, frame_name)` -> `Truth`; `None` without any masks.
    """

    name: str
    frame_names: tuple
    frames: tuple
    sentences: tuple
    masks: object

    def annotated(self):
        """Indices of the frames whose masks are known, a list of int."""
        if self.masks is None:
            return []
        return [
            i
            for i, name in enumerate(self.frame_names)
            if self.masks.has(i, name)
        ]

    def asks(self, index, sentence):
        """True: a sentence is about every frame of the video."""
        return True

    def number(self, index):
        """The number, from 1, of the frame at an index."""
        return index + 1

    def source(self):
        """The `video.reader.Video` of the frames."""
        return of_pictures(self.frames[0].parent, self.frames)

    def image(self, index):
        """The frame at an index, uint8 RGB `(height, width, 3)`."""
        return read_image(self.frames[index])

    def truth(self, index):
        """The `Truth` of an annotated frame.

        Raises:
            UserError: its file cannot be read.
        """
        return self.masks.read(index, self.frame_names[index])
