"""The functions that a SavedModel serves, as TensorFlow graphs.

Sentences and frames go through the functions that training used
(`data.vocabulary`, `data.transforms`), so that a client sends what it has.
Rows are worked on `ROWS_AT_ONCE` at a time, so that memory is bounded by the
constants here, in `checks` and in `images`, not by the client.
"""

import tensorflow as tf

from keras_vas.data import transforms
from keras_vas.data.text import vocabulary as vocabulary_lib
from keras_vas.export.checks import (
    bounded,
    checked,
    checked_frames,
    checked_queries,
    checked_rows,
)
from keras_vas.export.images import check_sizes, decode
from keras_vas.models import sentence_split
from keras_vas.presence import score as presence_score

ROWS_AT_ONCE = 8


class ServedModel(tf.Module):
    """What is saved: some functions, and the values that they use.

    Each function takes one dict of tensors and returns one.

    Args:
        model: `SegmentationModel` with the one output `mask_logits`.
        vocabulary: its `Vocabulary`.
        calibration: `presence_score.Calibration` of the score.
        vocabulary_path: text file that goes into `assets/`.
        height: int, multiple of 32, height at which the model sees frames.
        width: int, likewise.
        frame_size: `(height, width)` of the frames that `serve` and
            `segment_many` take, or None for any.
        batch_size: number of rows that `serve` and `segment_jpeg` take, or
            None for any up to `checks.MAX_ROWS`.
        about: str, one line about the model.

    Attributes:
        serve: frames and sentences to masks and scores.
        segment_jpeg: encoded frames and sentences to PNG masks and scores.
        segment_many: one clip and its sentences to masks and scores.
        segment_many_jpeg: the same, as encoded frames to PNG masks.
        describe: sentences to the words that are not known, the threshold of
            masks and a line about the model.
    """

    def __init__(
        self,
        model,
        vocabulary,
        calibration,
        *,
        vocabulary_path,
        height,
        width,
        frame_size=None,
        batch_size=None,
        about="",
    ):
        super().__init__(name="keras_vas")
        clip_model, sentence_model = sentence_split.split(model)
        # The variables themselves: tracking the model would make its Python
        # objects a part of the file.
        self.model_variables = [variable.value for variable in model.variables]
        self.vocabulary_table = vocabulary.table
        self.vocabulary_file = tf.saved_model.Asset(str(vocabulary_path))
        num_frames = model.input["frames"].shape[1]
        size = frame_size or (None, None)

        def results(outputs):
            logits = outputs["mask_logits"]
            score = calibration.score(presence_score.evidence(logits))
            return tf.sigmoid(logits), score

        # one function in the file for both signatures that use it
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, num_frames, height, width, 3], tf.uint8),
                tf.TensorSpec([None], tf.string),
            ]
        )
        def segment(frames, query):
            inputs = {"frames": frames, "tokens": vocabulary.encode(query)}
            return results(model(inputs, training=False))

        def letterboxed(frames):
            """Frames `(..., h, w, 3)`, one at a time to save memory."""
            shape = tf.shape(frames)
            flat = tf.reshape(frames, tf.concat([[-1], shape[-3:]], axis=0))
            small = tf.map_fn(
                lambda frame: transforms.letterbox(frame, height, width), flat
            )
            return tf.reshape(
                small, tf.concat([shape[:-3], [height, width, 3]], axis=0)
            )

        def decoded(images):
            """JPEG or PNG bytes `(...)`, each to a letterboxed frame."""
            small = tf.map_fn(
                lambda image: transforms.letterbox(
                    decode(image), height, width
                ),
                tf.reshape(images, [-1]),
                fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
                parallel_iterations=2,
            )
            return tf.reshape(small, [-1, num_frames, height, width, 3])

        def serve(inputs):
            frames, query = inputs["frames"], inputs["query"]
            frames = checked_frames(frames, ("batch", num_frames))
            frames, query = checked_rows(frames, query)
            shape = tf.shape(frames)
            frames = bounded(frames, shape[0], shape[2], shape[3])

            def rows(part):
                probabilities, score = segment(
                    letterboxed(frames[part]), query[part]
                )
                mask = transforms.unletterbox(probabilities, shape[2], shape[3])
                return {"mask": mask[..., 0], "score": score}

            signature = {
                "mask": tf.TensorSpec([None, None, None], tf.float32),
                "score": tf.TensorSpec([None], tf.float32),
            }
            outputs = _by_rows(rows, shape[0], batch_size, signature)
            outputs["mask"].set_shape([batch_size, *size])
            outputs["score"].set_shape([batch_size])
            return outputs

        def segment_jpeg(inputs):
            frames, query = inputs["frames"], inputs["query"]
            frames = checked(
                frames,
                [None, num_frames],
                "frames must be JPEG or PNG bytes of shape [batch, "
                f"{num_frames}]; got shape",
            )
            frames, query = checked_rows(frames, query)
            sizes = check_sizes(frames)
            with tf.control_dependencies([sizes]):
                frames = tf.identity(frames)

            def rows(part):
                small = decoded(frames[part])
                probabilities, score = segment(small, query[part])
                masks = tf.map_fn(
                    lambda row: _png(row[0], row[1]),
                    (probabilities, sizes[part]),
                    fn_output_signature=tf.TensorSpec([], tf.string),
                    parallel_iterations=2,
                )
                return {"mask_png_bytes": masks, "score": score}

            signature = {
                "mask_png_bytes": tf.TensorSpec([None], tf.string),
                "score": tf.TensorSpec([None], tf.float32),
            }
            outputs = _by_rows(rows, tf.shape(frames)[0], batch_size, signature)
            for output in outputs.values():
                output.set_shape([batch_size])
            return outputs

        def many(small, queries, finish, signature):
            """Masks and scores of a clip `(1, time, height, width, 3)`.

            Args:
                small: letterboxed frames.
                queries: string tensor `(queries,)`.
                finish: function that makes masks of probabilities
                    `(queries, height, width, 1)`.
                signature: `tf.TensorSpec` of the masks.
            """
            shape = [1, num_frames, height, width, 3]
            clip = clip_model(
                {"frames": tf.ensure_shape(small, shape)}, training=False
            )

            def rows(part):
                tokens = vocabulary.encode(queries[part])
                count = tf.shape(tokens)[0]
                repeated = {
                    name: tf.repeat(tensor, count, axis=0)
                    for name, tensor in clip.items()
                }
                probabilities, score = results(
                    sentence_model(
                        {**repeated, "tokens": tokens}, training=False
                    )
                )
                return {"masks": finish(probabilities), "scores": score}

            scores = tf.TensorSpec([None], tf.float32)
            outputs = _by_rows(
                rows,
                tf.size(queries),
                None,
                {"masks": signature, "scores": scores},
            )
            return outputs["masks"], outputs["scores"]

        def segment_many(inputs):
            frames = checked_frames(inputs["frames"], (num_frames,))
            queries = checked_queries(inputs["queries"])
            shape = tf.shape(frames)
            frames = bounded(frames, tf.size(queries), shape[1], shape[2])
            masks, scores = many(
                letterboxed(frames)[None],
                queries,
                lambda p: transforms.unletterbox(p, shape[1], shape[2])[..., 0],
                tf.TensorSpec([None, None, None], tf.float32),
            )
            masks.set_shape([None, *size])
            return {"masks": masks, "scores": scores}

        def segment_many_jpeg(inputs):
            frames = checked(
                inputs["frames"],
                [num_frames],
                f"frames must be JPEG or PNG bytes of shape [{num_frames}]; "
                "got shape",
            )
            queries = checked_queries(inputs["queries"])
            found = check_sizes(frames[None])[0]
            with tf.control_dependencies([found]):
                frames = bounded(frames, tf.size(queries), found[0], found[1])
            masks, scores = many(
                decoded(frames),
                queries,
                lambda probabilities: tf.map_fn(
                    lambda row: _png(row, found),
                    probabilities,
                    fn_output_signature=tf.TensorSpec([], tf.string),
                    parallel_iterations=2,
                ),
                tf.TensorSpec([None], tf.string),
            )
            return {"masks_png_bytes": masks, "scores": scores}

        def describe(inputs):
            queries = checked_queries(inputs["queries"])
            words = vocabulary_lib.tokenize(queries)
            words = words[:, : vocabulary_lib.MAX_WORDS]
            unknown = tf.ragged.boolean_mask(
                words,
                words.with_values(
                    vocabulary.table.lookup(words.values)
                    == vocabulary_lib.UNKNOWN_ID
                ),
            )
            shape = tf.shape(queries)
            return {
                "unknown_words": tf.strings.reduce_join(
                    unknown, axis=-1, separator=" "
                ),
                "threshold": tf.fill(shape, calibration.threshold),
                "about": tf.fill(shape, about),
            }

        def spec(name, shape, dtype):
            return tf.TensorSpec(shape, dtype, name=name)

        frames = (num_frames, *size, 3)
        query = spec("query", [batch_size], tf.string)
        files = spec("frames", [num_frames], tf.string)
        queries = spec("queries", [None], tf.string)

        def saved(function, **inputs):
            return tf.function(function, input_signature=[inputs])

        self.serve = saved(
            serve,
            frames=spec("frames", [batch_size, *frames], tf.uint8),
            query=query,
        )
        self.segment_jpeg = saved(
            segment_jpeg,
            frames=spec("frames", [batch_size, num_frames], tf.string),
            query=query,
        )
        self.segment_many = saved(
            segment_many,
            frames=spec("frames", frames, tf.uint8),
            queries=queries,
        )
        self.segment_many_jpeg = saved(
            segment_many_jpeg, frames=files, queries=queries
        )
        self.describe = saved(describe, queries=queries)

    @property
    def signatures(self):
        """Dict from signature name to function."""
        return {
            "serving_default": self.serve,
            "segment_jpeg": self.segment_jpeg,
            "segment_many": self.segment_many,
            "segment_many_jpeg": self.segment_many_jpeg,
            "describe": self.describe,
        }


def _by_rows(function, count, batch_size, signature):
    """Calls `function(slice)` for a few rows at a time and joins the results.

    Args:
        function: takes a slice of rows, returns a dict of tensors.
        count: int32 scalar, number of rows, at least 1.
        batch_size: the same number where it is known, else None. A known
            number of rows is worked on at once, without a loop.
        signature: dict of `tf.TensorSpec` like the results.
    """
    if batch_size is not None:
        return function(slice(None))
    steps = (count + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE
    arrays = {
        name: tf.TensorArray(
            spec.dtype, steps, infer_shape=False, element_shape=spec.shape
        )
        for name, spec in signature.items()
    }

    def step(number, arrays):
        start = number * ROWS_AT_ONCE
        stop = tf.minimum(start + ROWS_AT_ONCE, count)
        made = function(slice(start, stop))
        arrays = {
            name: array.write(number, made[name])
            for name, array in arrays.items()
        }
        return number + 1, arrays

    _, arrays = tf.while_loop(
        lambda number, _: number < steps,
        step,
        (tf.constant(0), arrays),
        parallel_iterations=1,
    )
    return {name: array.concat() for name, array in arrays.items()}


def _png(probabilities, size):
    """A mask `(height, width, 1)` at its own size, as 8-bit grey PNG."""
    mask = transforms.unletterbox(probabilities, size[0], size[1])
    return tf.io.encode_png(tf.cast(tf.round(255.0 * mask), tf.uint8))
