"""What a request must be, asserted inside the graph.

A server does not check what a signature declares, and memory must not be taken
for what is wrong.
"""

import tensorflow as tf

from keras_vas.export.images import MAX_REQUEST_PIXELS

MAX_ROWS = 256


def checked_frames(frames, leading):
    """Frames of the shape `(*leading, height, width, 3)`.

    Args:
        frames: uint8 tensor.
        leading: sizes, ints, or names of dimensions of any size but 0.
    """
    names = ", ".join([*map(str, leading), "height", "width", "3"])
    dimensions = [d if isinstance(d, int) else None for d in leading]
    return checked(
        frames,
        [*dimensions, None, None, 3],
        f"frames must have the shape [{names}]; got shape",
    )


def checked(tensor, shape, message):
    """Asserts a shape at run time; None stands for any size but 0.

    The optimizer takes the declared shape for granted, so it has to be
    forgotten first. The first word of the message names the tensor.
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


def checked_rows(frames, query):
    """Clips and their sentences, as many of the one as of the other."""
    query = checked(query, [None], "query must have one dimension; got shape")
    frames = limited(frames, "frames")
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


def checked_queries(queries):
    """Sentences `(queries,)`, 1 to `MAX_ROWS`."""
    queries = checked(
        queries, [None], "queries must have one dimension; got shape"
    )
    return limited(queries, "queries")


def limited(tensor, name):
    """A tensor of at most `MAX_ROWS` rows."""
    rows = tf.shape(tensor)[0]
    check = tf.debugging.Assert(
        rows <= MAX_ROWS,
        [f"{name} may have {MAX_ROWS} rows in a request; got", rows],
    )
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def bounded(tensor, count, height, width):
    """A tensor whose `count` masks of height x width have a bounded size."""
    sizes = tf.cast(tf.stack([count, height, width]), tf.int64)
    check = tf.debugging.Assert(
        tf.reduce_prod(sizes) <= MAX_REQUEST_PIXELS,
        [
            f"the masks of a request may have {MAX_REQUEST_PIXELS} pixels in "
            "all; number of masks, height and width are",
            sizes,
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(tensor)
