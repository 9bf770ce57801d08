"""Clips as plain arrays in one `.npz` file, for machines without TensorFlow.

    frames        uint8 (clips, time, height, width, 3)
    clips         int32 (samples,): the clip of each sample
    masks         uint8 (samples, height, width / 8): a bit for each pixel
    tokens        int32 (samples, words), padded with 0
    words         str (words of the vocabulary,), in the order of their ids
    word_vectors  float32 (ids, dimension); (0, 0) if none were packed
    manifest      JSON text, the manifest of the records

`keras_vas.training.on_jax.pack_clips` writes such files.
"""

import dataclasses
import json

import numpy as np

from keras_vas import files, packed_files


@dataclasses.dataclass(frozen=True, eq=False)
class ClipPack:
    """What a file of packed clips holds.

    Attributes:
        frames: uint8 (clips, time, height, width, 3), RGB.
        clips: int32 (samples,), the clip of each sample.
        masks: uint8 (samples, height, width / 8), as `numpy.packbits` packs
            a row of pixels.
        tokens: int32 (samples, words).
        words: str array, the vocabulary's known words in the order of ids.
        word_vectors: float32 (ids, dimension), or (0, 0).
        manifest: dict, the manifest of the records.
    """

    frames: np.ndarray
    clips: np.ndarray
    masks: np.ndarray
    tokens: np.ndarray
    words: np.ndarray
    word_vectors: np.ndarray
    manifest: dict

    def __len__(self):
        """Number of samples."""
        return len(self.clips)

    @property
    def size(self):
        """Height and width of the frames in pixels."""
        return self.frames.shape[2:4]

    def batch(self, samples):
        """The arrays of some samples.

        Args:
            samples: int array (batch,) of sample numbers.

        Returns:
            Dict of `frames` uint8 (batch, time, height, width, 3), `tokens`
            int32 (batch, words), `mask` uint8 (batch, height, width, 1) of 0
            and 1.
        """
        return {
            "frames": self.frames[self.clips[samples]],
            "tokens": self.tokens[samples],
            "mask": np.unpackbits(self.masks[samples], axis=-1)[..., None],
        }

    def save(self, path):
        """Writes the file; it is whole or not there."""
        arrays = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        arrays["manifest"] = np.array(json.dumps(self.manifest))
        with files.atomic_path(path) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Raises:
            UserError: there is no such file, or it is something else.
        """
        advice = "write it again with keras_vas.training.on_jax.pack_clips"
        with packed_files.reading(path, "file of packed clips", advice):
            arrays = packed_files.read_npz(
                path, [field.name for field in dataclasses.fields(cls)]
            )
            arrays["manifest"] = json.loads(str(arrays["manifest"]))
        return cls(**arrays)
