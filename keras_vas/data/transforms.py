"""What happens to frames, masks and sentences between a record and a model.

Everything here is TensorFlow and runs eagerly, in `tf.data` and in exported
graphs alike. Random transforms are stateless: the same seed, a pair of
integers, gives the same result.
"""

import dataclasses

import tensorflow as tf

from keras_vas.data.text import vocabulary as vocabulary_lib

_HALF = 0.5 - 1e-5  # ResizeArea sums in float32.


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which random changes a training sample undergoes; none by default.

    Attributes:
        flip: probability of a horizontal flip, which also swaps left and
            right in the sentence.
        crop: largest share of the height and the width, in [0, 1), that a
            random crop cuts off; the target always stays whole.
        colour: largest change of brightness, as a share of the full range,
            and of contrast, as a share of the contrast, in [0, 1).
        word_dropout: probability that a word becomes the unknown word.
        pair: probability that the clip shares its picture with the clip of
            another record, side by side, so that only the sentence says
            which actor is meant; see `data.pipeline`.

    Raises:
        ValueError: for a value outside its range.
    """

    flip: float = 0.0
    crop: float = 0.0
    colour: float = 0.0
    word_dropout: float = 0.0
    pair: float = 0.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            limit = "[0, 1)" if field.name in ("crop", "colour") else "[0, 1]"
            if not 0 <= value <= 1 or (value == 1 and limit == "[0, 1)"):
                raise ValueError(
                    f"`{field.name}` must be in {limit}. "
                    f"Received: {field.name}={value}"
                )


def content_size(source_height, source_width, height, width):
    """Size of a picture scaled to fit a frame, its aspect kept.

    Args:
        source_height: int or int32 scalar, pixels.
        source_width: likewise.
        height: int or int32 scalar, the frame's.
        width: likewise.

    Returns:
        Two int32 scalars: the content's height and width, one of them the
        frame's own, the other rounded to the nearest pixel and at least 1.
    """
    h, w, height, width = (
        tf.cast(size, tf.int64)
        for size in (source_height, source_width, height, width)
    )
    tall = height * w <= width * h
    content_h = tf.where(tall, height, (2 * h * width + w) // (2 * w))
    content_w = tf.where(tall, (2 * w * height + h) // (2 * h), width)
    return (
        tf.cast(tf.maximum(content_h, 1), tf.int32),
        tf.cast(tf.maximum(content_w, 1), tf.int32),
    )


def fit(frames, height, width):
    """Scales pictures to fit a frame, before they are padded.

    Bilinear with half-pixel centres; at no cost where the size is right
    already.

    Args:
        frames: tensor `(n, h, w, channels)`, uint8 or float32.
        height: int or int32 scalar, the frame's.
        width: likewise.

    Returns:
        Tensor `(n, content height, content width, channels)` of the same
        dtype; uint8 values are rounded to the nearest.
    """
    shape = tf.shape(frames)
    size = content_size(shape[1], shape[2], height, width)

    def resize():
        # The kernel is twice as fast on float32 as on uint8.
        resized = tf.raw_ops.ResizeBilinear(
            images=tf.cast(frames, tf.float32),
            size=tf.stack(size),
            half_pixel_centers=True,
        )
        if frames.dtype == tf.uint8:
            return tf.cast(resized + 0.5, tf.uint8)
        return resized

    return tf.cond(
        tf.reduce_all(shape[1:3] == tf.stack(size)), lambda: frames, resize
    )


def pad(frames, height, width):
    """Centres pictures in a frame, with zeros around them.

    Args:
        frames: tensor `(n, h, w, channels)` with h <= height, w <= width.
        height: int or int32 scalar.
        width: likewise.

    Returns:
        Tensor `(n, height, width, channels)` of the same dtype. Where the
        padding is odd, the bottom or the right side gets the extra pixel.
    """
    shape = tf.shape(frames)
    spare = tf.stack([height - shape[1], width - shape[2]])
    before = spare // 2
    padded = tf.cond(
        tf.reduce_any(spare > 0),
        lambda: tf.pad(
            frames,
            tf.pad(tf.stack([before, spare - before], 1), [[1, 1], [0, 0]]),
        ),
        lambda: frames,
    )
    padded.set_shape(
        [frames.shape[0], *_static(height, width), frames.shape[3]]
    )
    return padded


def letterbox(frames, height, width):
    """Fits pictures into a frame: aspect kept, zeros on both sides.

    scale = min(height / h, width / w), bilinear; uint8 stays uint8.

    Args:
        frames: tensor `(..., h, w, channels)`, uint8 or float32.
        height: int or int32 scalar, pixels.
        width: likewise.

    Returns:
        Tensor `(..., height, width, channels)` of the same dtype.
    """
    frames = tf.convert_to_tensor(frames)
    flat, restore = _flatten(frames)
    return restore(pad(fit(flat, height, width), height, width))


def fit_mask(mask, height, width):
    """Scales a mask like the picture in `fit`, before it is padded.

    A cell belongs to the actor where the actor covers at least half of it:
    unlike the nearest pixel this is not noisy along the outline, and unlike
    bilinear samples it sees every pixel of the source.

    Args:
        mask: tensor `(h, w, 1)`, nonzero (bool: true) on the actor.
        height: int or int32 scalar, the frame's.
        width: likewise.

    Returns:
        float32 tensor `(content height, content width, 1)` of 0 and 1.
    """
    mask = tf.cast(tf.cast(mask, tf.bool), tf.float32)
    shape = tf.shape(mask)
    size = tf.stack(content_size(shape[0], shape[1], height, width))

    def resize():
        coverage = tf.raw_ops.ResizeArea(images=mask[None], size=size)[0]
        return tf.cast(coverage >= _HALF, tf.float32)

    return tf.cond(tf.reduce_all(shape[:2] == size), lambda: mask, resize)


def unletterbox(probabilities, source_height, source_width):
    """Undoes `letterbox`: removes the padding, scales to the source's size.

    Args:
        probabilities: float32 tensor `(..., height, width, channels)`.
        source_height: int or int32 scalar, pixels of the source.
        source_width: likewise.

    Returns:
        float32 tensor `(..., source_height, source_width, channels)`,
        bilinear with half-pixel centres.
    """
    probabilities = tf.convert_to_tensor(probabilities)
    flat, restore = _flatten(probabilities)
    shape = tf.shape(flat)
    height, width = content_size(
        source_height, source_width, shape[1], shape[2]
    )
    top, left = (shape[1] - height) // 2, (shape[2] - width) // 2
    content = flat[:, top : top + height, left : left + width]
    size = tf.stack([source_height, source_width])
    resized = tf.cond(
        tf.reduce_all(size == tf.stack([height, width])),
        lambda: content,
        lambda: tf.raw_ops.ResizeBilinear(
            images=content, size=size, half_pixel_centers=True
        ),
    )
    resized.set_shape(
        [flat.shape[0], *_static(source_height, source_width), flat.shape[3]]
    )
    return restore(resized)


def flip(pictures):
    """Mirrors pictures `(n, h, w, channels)` from left to right."""
    shape = tf.shape(pictures)
    # Rows in one dimension: for rank 3 the kernel copies whole pixels.
    rows = tf.reshape(pictures, tf.concat([[-1], shape[2:]], axis=0))
    return tf.reshape(tf.reverse(rows, [1]), shape)


def crop_window(mask, seed, amount, centred):
    """Draws a crop that keeps the whole target.

    Each side loses a uniform share of at most `amount / 2` of the picture,
    and never any of the target's box. For a sentence that says where in the
    picture its actor is, opposite sides lose the same, so that what was left
    of the middle stays left of the middle.

    Args:
        mask: tensor `(h, w, 1)`, nonzero on the target.
        seed: int tensor `(2,)`.
        amount: float in [0, 1).
        centred: bool scalar, whether opposite sides lose the same.

    Returns:
        int32 tensor `(4,)`: top, left, height, width. The whole picture if
        the mask is empty.
    """
    inside = tf.cast(mask, tf.bool)[..., 0]
    shape = tf.shape(inside)
    room = tf.reshape(
        tf.stack(
            [_margins(tf.reduce_any(inside, 1 - axis)) for axis in (0, 1)]
        ),
        [2, 2],
    )
    largest = tf.cast(shape, tf.float32)[:, None] * (amount / 2)
    draws = tf.random.stateless_uniform([2, 2], seed, alg="philox")
    cut = tf.minimum(tf.cast(draws * largest, tf.int32), room)
    cut = tf.where(centred, tf.reduce_min(cut, 1, keepdims=True), cut)
    return tf.concat([cut[:, 0], shape - tf.reduce_sum(cut, 1)], axis=0)


def half_window(mask, seed, aspect):
    """Draws a full-height window of a narrower aspect around the target.

    Args:
        mask: tensor `(h, w, 1)`, nonzero on the target.
        seed: int tensor `(2,)`.
        aspect: float, width / height of the window; where the picture is
            narrower, the window is the picture.

    Returns:
        int32 tensor `(4,)`: top, left, height, width. The target's middle
        lies in the middle half of the window, unless the picture's edge
        forbids it; without a target the window lies anywhere.
    """
    inside = tf.cast(mask, tf.bool)[..., 0]
    height, width = tf.unstack(tf.shape(inside))
    wanted = tf.cast(tf.round(tf.cast(height, tf.float32) * aspect), tf.int32)
    wanted = tf.clip_by_value(wanted, 1, width)
    before, after = tf.unstack(_margins(tf.reduce_any(inside, 0)))
    middle = tf.cast(before + width - after, tf.float32) / 2
    draw = tf.random.stateless_uniform([], seed, alg="philox")
    share = tf.cast(wanted, tf.float32)
    left = tf.where(
        tf.reduce_any(inside),
        middle - share * (0.25 + 0.5 * draw),
        draw * tf.cast(width - wanted, tf.float32),
    )
    left = tf.clip_by_value(tf.cast(left, tf.int32), 0, width - wanted)
    return tf.stack([0, left, height, wanted])


def colour_jitter(frames, seed, amount):
    """Changes brightness and contrast, alike in all frames of a clip.

    Args:
        frames: uint8 tensor of any shape.
        seed: int tensor `(2,)`.
        amount: float in [0, 1). The contrast about middle grey is multiplied
            by 1 +- `amount`; 255 times +- `amount` is added.

    Returns:
        uint8 tensor of the same shape.
    """
    draws = tf.random.stateless_uniform(
        [2], seed, -amount, amount, alg="philox"
    )
    contrast, brightness = 1.0 + draws[0], 255.0 * draws[1]
    offset = 127.5 * (1.0 - contrast) + brightness + 0.5
    return tf.saturate_cast(
        tf.cast(frames, tf.float32) * contrast + offset, tf.uint8
    )


def word_dropout(tokens, seed, probability):
    """Turns words into the unknown word at random; padding stays.

    Args:
        tokens: int32 tensor of any shape.
        seed: int tensor `(2,)`.
        probability: float in [0, 1].

    Returns:
        int32 tensor of the same shape.
    """
    draws = tf.random.stateless_uniform(tf.shape(tokens), seed, alg="philox")
    dropped = (draws < probability) & (tokens != vocabulary_lib.PADDING_ID)
    return tf.where(dropped, vocabulary_lib.UNKNOWN_ID, tokens)


def _flatten(pictures):
    """Merges leading dimensions; also gives the function that restores them."""
    flat = tf.reshape(
        pictures, tf.concat([[-1], tf.shape(pictures)[-3:]], axis=0)
    )
    flat.set_shape([None, *pictures.shape[-3:]])

    def restore(flat):
        leading = tf.shape(pictures)[:-3]
        restored = tf.reshape(
            flat, tf.concat([leading, tf.shape(flat)[1:]], axis=0)
        )
        restored.set_shape([*pictures.shape[:-3], *flat.shape[1:]])
        return restored

    return flat, restore


def _static(*sizes):
    return [size if isinstance(size, int) else None for size in sizes]


def _margins(occupied):
    """How many entries before the first and after the last true one."""
    places = tf.cast(tf.where(occupied)[:, 0], tf.int32)
    size = tf.size(occupied)
    first = tf.reduce_min(tf.concat([places, [size]], 0))
    last = tf.reduce_max(tf.concat([places, [-1]], 0))
    return tf.cond(
        first <= last,
        lambda: tf.stack([first, size - 1 - last]),
        lambda: tf.zeros([2], tf.int32),
    )
