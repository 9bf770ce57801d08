"""The three functions that a SavedModel serves, as TensorFlow graphs.

Sentences and frames go through the functions that training used
(`data.vocabulary`, `data.transforms`), so that a client sends what it has.
Rows are worked on `ROWS_AT_ONCE` at a time, so that memory is bounded by the
constants here and in `export_images`, not by the client.
"""

import tensorflow as tf

from keras_vas.data import transforms
from keras_vas.export.images import MAX_REQUEST_PIXELS, check_sizes, decode
from keras_vas.models import sentence_split
from keras_vas.presence import score as presence_score

ROWS_AT_ONCE = 8
MAX_ROWS = 256


class ServedModel(tf.Module):
    """What is saved: three functions, and the values that they use.

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
            None for any up to `MAX_ROWS`.

    Attributes:
        serve: frames and sentences to masks and scores.
        segment_jpeg: encoded frames and sentences to PNG masks and scores.
        segment_many: one clip and its sentences to masks and scores.
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

        def serve(inputs):
            frames, query = inputs["frames"], inputs["query"]
            frames = _checked_frames(frames, ("batch", num_frames))
            frames, query = _checked_rows(frames, query)
            frames = _bounded(frames, tf.shape(frames)[0])
            shape = tf.shape(frames)

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
            frames = _checked(
                frames,
                [None, num_frames],
                "frames must be JPEG or PNG bytes of shape [batch, "
                f"{num_frames}]; got shape",
            )
            frames, query = _checked_rows(frames, query)
            sizes = check_sizes(frames)
            with tf.control_dependencies([sizes]):
                frames = tf.identity(frames)

            def rows(part):
                flat = tf.reshape(frames[part], [-1])
                small = tf.map_fn(
                    lambda image: transforms.letterbox(
                        decode(image), height, width
                    ),
                    flat,
                    fn_output_signature=tf.TensorSpec(
                        [height, width, 3], tf.uint8
                    ),
                    parallel_iterations=2,
                )
                small = tf.reshape(small, [-1, num_frames, height, width, 3])
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

        def segment_many(inputs):
            frames, queries = inputs["frames"], inputs["queries"]
            frames = _checked_frames(frames, (num_frames,))
            queries = _checked(
                queries, [None], "queries must have one dimension; got shape"
            )
            queries = _limited(queries, "queries")
            frames = _bounded(frames, tf.size(queries))
            shape = tf.shape(frames)
            small = tf.ensure_shape(
                letterboxed(frames), [num_frames, height, width, 3]
            )
            clip = clip_model({"frames": small[None]}, training=False)

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
                mask = transforms.unletterbox(probabilities, shape[1], shape[2])
                return {"masks": mask[..., 0], "scores": score}

            signature = {
                "masks": tf.TensorSpec([None, None, None], tf.float32),
                "scores": tf.TensorSpec([None], tf.float32),
            }
            outputs = _by_rows(rows, tf.size(queries), None, signature)
            outputs["masks"].set_shape([None, *size])
            return outputs

        def spec(name, shape, dtype):
            return tf.TensorSpec(shape, dtype, name=name)

        frames = (num_frames, *size, 3)
        query = spec("query", [batch_size], tf.string)
        self.serve = tf.function(
            serve,
            input_signature=[
                {
                    "frames": spec("frames", [batch_size, *frames], tf.uint8),
                    "query": query,
                }
            ],
        )
        self.segment_jpeg = tf.function(
            segment_jpeg,
            input_signature=[
                {
                    "frames": spec(
                        "frames", [batch_size, num_frames], tf.string
                    ),
                    "query": query,
                }
            ],
        )
        self.segment_many = tf.function(
            segment_many,
            input_signature=[
                {
                    "frames": spec("frames", frames, tf.uint8),
                    "queries": spec("queries", [None], tf.string),
                }
            ],
        )

    @property
    def signatures(self):
        """Dict from signature name to function."""
        return {
            "serving_default": self.serve,
            "segment_jpeg": self.segment_jpeg,
            "segment_many": self.segment_many,
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


def _checked_frames(frames, leading):
    names = ", ".join([*map(str, leading), "height", "width", "3"])
    dimensions = [d if isinstance(d, int) else None for d in leading]
    return _checked(
        frames,
        [*dimensions, None, None, 3],
        f"frames must have the shape [{names}]; got shape",
    )


def _checked(tensor, shape, message):
    """Asserts a shape at run time; None stands for any size but 0.

    A server does not check what a signature declares, and the optimizer
    takes the declared shape for granted; so it has to be forgotten first.
    The first word of the message names the tensor.
    """
    declared = tensor.shape
    tensor = tf.compat.v1.placeholder_with_default(
        tensor, shape=None, name=message.split()[0]
    )
    found = tf.shape(tensor)
    wanted = [
        given if given is not None else asked
        for given, asked in zip(declared, shape, strict=True)
    ]
    right_rank = tf.equal(tf.size(found), len(shape))
    # so that the comparison is possible whatever the rank
    padded = tf.concat([found, tf.zeros([len(shape)], tf.int32)], 0)
    sizes = padded[: len(shape)]
    right_sizes = tf.stack(
        [
            sizes[axis] > 0 if size is None else tf.equal(sizes[axis], size)
            for axis, size in enumerate(wanted)
        ]
    )
    right = right_rank & tf.reduce_all(right_sizes)
    check = tf.debugging.Assert(right, [message, found], summarize=8)
    with tf.control_dependencies([check]):
        return tf.ensure_shape(tf.identity(tensor), wanted)


def _checked_rows(frames, query):
    query = _checked(query, [None], "query must have one dimension; got shape")
    frames = _limited(frames, "frames")
    rows, sentences = tf.shape(frames)[0], tf.shape(query)[0]
    check = tf.debugging.Assert(
        tf.equal(rows, sentences),
        [
            "frames and query must agree in the first dimension; got",
            rows,
            sentences,
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(frames), tf.identity(query)


def _limited(tensor, name):
    rows = tf.shape(tensor)[0]
    check = tf.debugging.Assert(
        rows <= MAX_ROWS,
        [f"{name} may have {MAX_ROWS} rows in a request; got", rows],
    )
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _bounded(frames, count):
    """Asserts a bound on the size of `count` masks as large as the frames."""
    sizes = tf.concat([[count], tf.shape(frames)[-3:-1]], axis=0)
    sizes = tf.cast(sizes, tf.int64)
    check = tf.debugging.Assert(
        tf.reduce_prod(sizes) <= MAX_REQUEST_PIXELS,
        [
            f"the masks of a request may have {MAX_REQUEST_PIXELS} pixels in "
            "all; number of masks, height and width are",
            sizes,
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(frames)
