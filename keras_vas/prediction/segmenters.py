"""Clips and sentences in, probabilities out: a Keras model or a SavedModel.

Both kinds have the same methods. A frame goes through `shrink` once, clips
of such frames and sentences through `run`, and what comes out goes through
`enlarge` to the video's own size.
"""

import pathlib

import numpy as np
import tensorflow as tf

from keras_vas import files
from keras_vas.data import frame_size, transforms
from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.metrics import THRESHOLD
from keras_vas.models.sentence_split import split_in_three
from keras_vas.presence import score as presence_score

MANIFEST = "assets.extra/manifest.json"
SIGNATURES = ("segment_many", "serving_default")
_QUERIES_AT_ONCE = 16
_PIXELS_AT_ONCE = 2**16
_BYTES_AT_ONCE = 2**28


class Letterbox:
    """Frames to the network's size, and probabilities back.

    Args:
        height: of the network's frames in pixels, a multiple of 32.
        width: likewise.
    """

    def __init__(self, height, width):
        frame_size.check_size(height, width)
        self.height, self.width = height, width
        self._shrink = tf.function(
            lambda image: transforms.letterbox(image, height, width),
            input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
        )
        self._enlarge = tf.function(
            transforms.unletterbox,
            input_signature=[
                tf.TensorSpec([None, height, width, 1], tf.float32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.int32),
            ],
        )

    def shrink(self, image):
        """uint8 `(h, w, 3)` of any size to that of the network."""
        if image.shape == (self.height, self.width, 3):
            return image
        return self._shrink(image).numpy()

    def enlarge(self, probabilities, height, width):
        """float32 `(queries, h, w)` of the network to the video's size."""
        return self._enlarge(probabilities[..., None], height, width).numpy()[
            ..., 0
        ]


class KerasSegmenter(Letterbox):
    """A `SegmentationModel`, asked in such a way that little is computed twice.

    What depends on the clip alone is computed once a clip, what depends on
    the sentence alone once a sentence (see `models.sentence_split`).

    Args:
        model: `SegmentationModel`.
        vocabulary: its `Vocabulary`.
        height: of the network's frames in pixels, a multiple of 32.
        width: likewise.
        calibration: `presence_score.Calibration`.

    Attributes:
        runtime: what computes, and in which precision: str.
    """

    def __init__(self, model, vocabulary, height, width, calibration):
        super().__init__(height, width)
        self.runtime = f"TensorFlow {tf.__version__}, {model.compute_dtype}"
        clip_length = model.input["frames"].shape[1]
        check_clip_length(clip_length)
        clip_model, text_model, joint_model = split_in_three(model)
        self._clip = tf.function(
            lambda frames: clip_model({"frames": frames}, training=False),
            input_signature=[
                tf.TensorSpec([None, clip_length, height, width, 3], tf.uint8)
            ],
        )
        self._text = tf.function(
            lambda queries: text_model(
                {"tokens": vocabulary.encode(queries)}, training=False
            ),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )

        def join(clips, text, number):
            """Probabilities and scores of one sentence about some clips."""
            count = tf.shape(next(iter(clips.values())))[0]
            text = {
                name: tf.repeat(x[number][None], count, axis=0)
                for name, x in text.items()
            }
            outputs = joint_model({**clips, **text}, training=False)
            logits = tf.ensure_shape(
                outputs["mask_logits"], [None, height, width, 1]
            )
            score = calibration.score(presence_score.evidence(logits))
            return tf.sigmoid(logits)[..., 0], score

        self._join = tf.function(join, reduce_retracing=True)

    def batch_size(self, queries):
        """How many clips to give to `run`, for a number of sentences."""
        pixels = self.height * self.width
        return max(
            1,
            min(
                _PIXELS_AT_ONCE // pixels,
                _BYTES_AT_ONCE // (4 * queries * pixels),
            ),
        )

    def encode(self, queries):
        """What `run` needs to know of a list of sentences."""
        return self._text(tf.constant(queries, tf.string))

    def run(self, clips, text):
        """Segments clips.

        Args:
            clips: uint8 `(clips, time, height, width, 3)`, shrunk.
            text: what `encode` returned.

        Returns:
            float32 `(clips, queries, height, width)` probabilities and
            float32 `(clips, queries)` scores.
        """
        shared = self._clip(clips)
        queries = next(iter(text.values())).shape[0]
        results = [
            self._join(shared, text, tf.constant(number))
            for number in range(queries)
        ]
        probabilities, scores = zip(*results, strict=True)
        return (
            np.stack([x.numpy() for x in probabilities], axis=1),
            np.stack([x.numpy() for x in scores], axis=1),
        )


class SavedModelSegmenter:
    """A SavedModel with one of `SIGNATURES`.

    Args:
        path: folder with `saved_model.pb`.

    Attributes:
        height: of the frames that it takes, `None` for any.
        width: likewise.
        threshold: what a probability must exceed to belong to a mask.
        runtime: what computes: str.

    Raises:
        UserError: it is no SavedModel, or has none of the signatures.
    """

    runtime = f"TensorFlow {tf.__version__}, as exported"

    def __init__(self, path):
        path = pathlib.Path(path)
        files.check_manifest(path, path / MANIFEST, "export it again")
        try:
            # The signatures live as long as what was loaded.
            self._loaded = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{path} is no SavedModel that can be read ({error}); export "
                "it again"
            ) from error
        found = getattr(self._loaded, "signatures", {})
        name = next((name for name in SIGNATURES if name in found), None)
        self._function = found[name] if name else None
        self._many = name == SIGNATURES[0]
        if not name or not self._fits():
            have = ", ".join(sorted(found)) or "none"
            raise UserError(
                f"{path} is a SavedModel of something else: it has no "
                f"signature {' or '.join(SIGNATURES)} with frames and "
                f"sentences (its signatures: {have}); give one that export.py "
                "wrote"
            )
        *_, clip_length, height, width, _ = self._specs()["frames"].shape
        check_clip_length(clip_length)
        self.height, self.width = height, width
        self.threshold = THRESHOLD
        if "describe" in found:
            described = found["describe"](queries=tf.constant([""]))
            self.threshold = round(float(described["threshold"][0]), 6)
        self._letterbox = None
        if height and width:
            self._letterbox = Letterbox(height, width)

    def _specs(self):
        return self._function.structured_input_signature[1]

    def _fits(self):
        inputs = {"frames", "queries" if self._many else "query"}
        outputs = {"masks", "scores"} if self._many else {"mask", "score"}
        rank = 4 if self._many else 5
        return (
            set(self._specs()) == inputs
            and outputs <= set(self._function.structured_outputs)
            and self._specs()["frames"].shape.rank == rank
        )

    def shrink(self, image):
        """As it is, or to the one size that the SavedModel takes."""
        return self._letterbox.shrink(image) if self._letterbox else image

    def enlarge(self, probabilities, height, width):
        """float32 `(queries, h, w)` to the video's size."""
        if self._letterbox:
            return self._letterbox.enlarge(probabilities, height, width)
        return probabilities

    def batch_size(self, queries):
        """One: a signature takes one clip at a time."""
        del queries
        return 1

    def encode(self, queries):
        """What `run` needs to know of a list of sentences."""
        return list(queries)

    def run(self, clips, text):
        """Like `KerasSegmenter.run`."""
        results = [self._one(clip, text) for clip in clips]
        probabilities, scores = zip(*results, strict=True)
        return np.stack(probabilities), np.stack(scores)

    def _one(self, clip, text):
        clip = tf.constant(clip)
        masks, scores = [], []
        at_once = _QUERIES_AT_ONCE if self._many else 1
        for start in range(0, len(text), at_once):
            queries = tf.constant(text[start : start + at_once])
            if self._many:
                answer = self._function(frames=clip, queries=queries)
                masks.append(answer["masks"].numpy())
                scores.append(answer["scores"].numpy())
            else:
                answer = self._function(frames=clip[None], query=queries)
                masks.append(answer["mask"].numpy())
                scores.append(answer["score"].numpy())
        return np.concatenate(masks), np.concatenate(scores)


def check_clip_length(clip_length):
    """Raises a `UserError` for other clips than records have."""
    if clip_length not in (schema.CLIP_LENGTH, None):
        raise UserError(
            f"the model sees clips of {clip_length} frames; only models of "
            f"{schema.CLIP_LENGTH} can segment videos"
        )
