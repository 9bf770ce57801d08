"""JPEG and PNG bytes to frames inside an exported graph, safely.

The size that a picture declares is read and checked before the picture is
decoded, so that a few bytes cannot ask for gigabytes.
"""

import tensorflow as tf

MAX_IMAGE_PIXELS = 2**25  # a little more than one 8K frame, 7680 x 4320
MAX_REQUEST_PIXELS = 2**28  # 129 frames of 1920 x 1080

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 33


def check_sizes(images):
    """Reads the sizes of a batch of clips and refuses what is too large.

    Args:
        images: string tensor `(batch, time)`, JPEG or PNG bytes.

    Returns:
        int32 tensor `(batch, 2)`, height and width of the clips in pixels.

    Raises:
        tf.errors.InvalidArgumentError: in the graph, when a value is no JPEG
            or PNG, declares no pixel or more than `MAX_IMAGE_PIXELS`, the
            frames of a clip differ in size, or all together have more than
            `MAX_REQUEST_PIXELS`. It says which clip and frame.
    """
    shape = tf.shape(images)
    flat = tf.reshape(images, [-1])
    sizes = tf.map_fn(
        lambda number: _declared_size(flat[number], number, shape[1]),
        tf.range(tf.size(flat)),
        fn_output_signature=tf.TensorSpec([2], tf.int64),
    )
    sizes = tf.reshape(sizes, [shape[0], shape[1], 2])
    first = sizes[:, :1]
    different = tf.where(tf.reduce_any(sizes != first, axis=-1))
    named = tf.concat([different, tf.zeros([1, 2], tf.int64)], 0)[0]
    total = tf.reduce_sum(tf.reduce_prod(sizes, axis=-1))
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                tf.equal(tf.shape(different)[0], 0),
                [
                    "all frames of a clip must have one size; clip and frame "
                    "of another, from 0:",
                    named,
                    "its height and width:",
                    tf.gather_nd(sizes, named),
                    "those of frame 0:",
                    tf.gather(first, named[0])[0],
                ],
            ),
            tf.debugging.Assert(
                total <= MAX_REQUEST_PIXELS,
                [
                    "the frames of a request may have "
                    f"{MAX_REQUEST_PIXELS} pixels in all; these have",
                    total,
                ],
            ),
        ]
    ):
        return tf.cast(tf.identity(first[:, 0]), tf.int32)


def decode(image):
    """Decodes one picture whose size has been checked.

    Grey becomes three equal channels; an alpha channel is dropped, 16 bits
    become 8, and a rotation in EXIF data is not applied.

    Args:
        image: scalar string tensor, JPEG or PNG bytes.

    Returns:
        uint8 tensor `(height, width, 3)`, RGB.
    """
    decoded = tf.cond(
        _starts_with(image, _PNG),
        lambda: tf.io.decode_png(image, channels=3),
        lambda: tf.io.decode_jpeg(image, channels=3),
    )
    return tf.ensure_shape(decoded, [None, None, 3])


def _declared_size(image, number, num_frames):
    place = tf.stack([number // num_frames, number % num_frames])
    is_png = _starts_with(image, _PNG)
    is_whole_png = is_png & (tf.strings.length(image) >= _PNG_HEADER_BYTES)
    known = tf.debugging.Assert(
        is_whole_png | _starts_with(image, _JPEG),
        [
            "a frame is no JPEG or PNG picture; clip and frame, from 0:",
            place,
            "bytes:",
            tf.strings.length(image),
        ],
    )
    with tf.control_dependencies([known]):
        size = tf.cond(
            is_png, lambda: _png_size(image), lambda: _jpeg_size(image)
        )
    pixels = tf.reduce_prod(size)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                (pixels > 0) & (pixels <= MAX_IMAGE_PIXELS),
                [
                    f"a frame must have 1 to {MAX_IMAGE_PIXELS} pixels; clip "
                    "and frame, from 0:",
                    place,
                    "height and width:",
                    size,
                ],
            )
        ]
    ):
        return tf.identity(size)


def _png_size(image):
    """Height and width in the first chunk of a PNG, four bytes each."""
    header = tf.strings.substr(image, 16, 8)
    digits = tf.cast(tf.io.decode_raw(header, tf.uint8), tf.int64)
    places = tf.constant([2**24, 2**16, 2**8, 1], tf.int64)
    width_height = tf.reduce_sum(tf.reshape(digits, [2, 4]) * places, axis=1)
    return width_height[::-1]


def _jpeg_size(image):
    return tf.image.extract_jpeg_shape(image, tf.int64)[:2]


def _starts_with(image, start):
    return tf.equal(tf.strings.substr(image, 0, len(start)), start)
