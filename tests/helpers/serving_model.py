"""A SavedModel with an export's signatures, whose masks are easy to compute.

A mask is the red channel of frame 4, or of the last one, times a share that
is the query's length in bytes over 100; a score is that share.
"""

import numpy as np
import tensorflow as tf

from keras_vas.export.images import check_sizes

WHOLE = 100
KNOWN = ("a", "the", "dog", "man")
THRESHOLD = 0.35
ABOUT = "red: trained on nothing; 4 words"


class RedModel(tf.Module):
    """Holds a variable, so that a loaded version has to keep it."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(factor, trainable=False)

    def _share(self, queries):
        length = tf.cast(tf.strings.length(queries), tf.float32)
        return self.factor * length / WHOLE

    def _red(self, frames):
        target = tf.minimum(4, tf.shape(frames)[-4] - 1)
        return tf.cast(tf.gather(frames, target, axis=-4)[..., 0], tf.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, None, 3], tf.uint8, "frames"),
            tf.TensorSpec([None], tf.string, "query"),
        ]
    )
    def serve(self, frames, query):
        share = self._share(query)
        mask = self._red(frames) / 255 * share[:, None, None]
        return {"mask": mask, "score": share}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "frames"),
            tf.TensorSpec([None], tf.string, "query"),
        ]
    )
    def segment_jpeg(self, frames, query):
        with tf.control_dependencies([check_sizes(frames)]):
            frames = tf.identity(frames)
        share = self._share(query)

        def one(arguments):
            clip, part = arguments
            picture = tf.io.decode_image(
                clip[tf.minimum(4, tf.shape(clip)[0] - 1)],
                channels=3,
                expand_animations=False,
            )
            red = tf.cast(picture[..., :1], tf.float32) * part
            return tf.io.encode_png(tf.cast(tf.round(red), tf.uint8))

        masks = tf.map_fn(one, (frames, share), fn_output_signature=tf.string)
        return {"mask_png_bytes": masks, "score": share}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8, "frames"),
            tf.TensorSpec([None], tf.string, "queries"),
        ]
    )
    def segment_many(self, frames, queries):
        share = self._share(queries)
        mask = self._red(frames)[None] / 255 * share[:, None, None]
        return {"masks": mask, "scores": share}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "frames"),
            tf.TensorSpec([None], tf.string, "queries"),
        ]
    )
    def segment_many_jpeg(self, frames, queries):
        repeated = tf.repeat(frames[None], tf.size(queries), axis=0)
        found = self.segment_jpeg(repeated, queries)
        return {
            "masks_png_bytes": found["mask_png_bytes"],
            "scores": found["score"],
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "queries")])
    def describe(self, queries):
        known = r"\b(" + "|".join(KNOWN) + r")\b"
        shape = tf.shape(queries)
        return {
            "unknown_words": tf.strings.regex_replace(queries, known, ""),
            "threshold": tf.fill(shape, THRESHOLD),
            "about": tf.fill(shape, ABOUT),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "x")])
    def wait(self, x):
        """Works for days where x is large."""
        size = [200, 200]
        matrix = tf.while_loop(
            lambda i, m: i < x[0],
            lambda i, m: (i + 1, tf.linalg.matmul(m, m) / 200),
            [0, tf.ones(size)],
        )[1]
        return {"done": matrix[:1, 0]}


def export(path, factor=1.0, old=False):
    """Writes the model to `path`, a folder named by a number.

    An old one has neither `segment_many_jpeg` nor `describe`.
    """
    model = RedModel(factor)
    signatures = {"serving_default": model.serve}
    new = () if old else ("segment_many_jpeg", "describe")
    for name in ("segment_jpeg", "segment_many", "wait", *new):
        signatures[name] = getattr(model, name)
    tf.saved_model.save(model, str(path), signatures)


def expected_mask(frames, query, factor=1.0):
    """The mask and the score, in NumPy."""
    share = factor * len(query.encode()) / WHOLE
    target = min(4, len(frames) - 1)
    return frames[target, :, :, 0].astype(np.float32) / 255 * share, share
