"""Tests of `keras_vas.data.transforms`, eagerly and within tf.data."""

import fractions
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_vas.data import frame_size, transforms


def both(function, *values):
    """Result of a function of tensors; eager and tf.data must agree."""
    values = tuple(tf.convert_to_tensor(value) for value in values)
    eager = function(*values).numpy()
    dataset = tf.data.Dataset.from_tensors(values).map(function)
    np.testing.assert_array_equal(next(iter(dataset)).numpy(), eager)
    return eager


def lines(old, new):
    """Matrix (new, old) of bilinear interpolation, half-pixel centres."""
    matrix = np.zeros((new, old))
    for i in range(new):
        at = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        low = math.floor(at)
        high = min(low + 1, old - 1)
        matrix[i, low] += 1 - (at - low)
        matrix[i, high] += at - low
    return matrix


def bilinear(picture, height, width):
    rows, columns = picture.shape[-3:-1]
    return np.einsum(
        "ih,...hwc,jw->...ijc",
        lines(rows, height),
        picture.astype(np.float64),
        lines(columns, width),
    )


def content_of(h, w, height, width):
    scale = min(fractions.Fraction(height, h), fractions.Fraction(width, w))
    size = [
        max(1, math.floor(n * scale + fractions.Fraction(1, 2))) for n in (h, w)
    ]
    return *size, (height - size[0]) // 2, (width - size[1]) // 2


SIZES = [
    (20, 50, 32, 64),  # narrower than the frame after scaling
    (50, 20, 32, 64),
    (37, 61, 64, 64),
    (90, 170, 32, 64),  # much larger
    (7, 300, 32, 64),  # content of one row
    (32, 64, 32, 64),  # nothing to do
    (16, 32, 32, 64),  # no padding
]


@pytest.mark.parametrize(("h", "w", "height", "width"), SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_letterbox(h, w, height, width, dtype):
    frames = np.random.default_rng(h).integers(1, 256, (2, 3, h, w, 3))
    frames = frames.astype(dtype)
    new_h, new_w, top, left = content_of(h, w, height, width)
    expected = np.zeros((2, 3, height, width, 3))
    content = bilinear(frames, new_h, new_w)
    expected[..., top : top + new_h, left : left + new_w, :] = content

    result = both(lambda f: transforms.letterbox(f, height, width), frames)

    assert result.dtype == dtype
    tolerance = 0.5 + 1e-3 if dtype == np.uint8 else 1e-2
    np.testing.assert_allclose(result, expected, atol=tolerance)
    if dtype == np.uint8:
        assert np.mean(result - expected) == pytest.approx(0, abs=0.05)


def test_letterbox_leaves_frames_of_the_right_size_alone():
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 64, 3), np.uint8)
    result = both(lambda f: transforms.letterbox(f, 32, 64), frames)
    np.testing.assert_array_equal(result, frames)


def test_letterbox_knows_its_static_shape_and_takes_dynamic_sizes():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 8, None, None, 3], tf.uint8),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def convert(frames, size):
        fixed = transforms.letterbox(frames, 32, 64)
        assert fixed.shape.as_list() == [None, 8, 32, 64, 3]
        return fixed, transforms.letterbox(frames, size[0], size[1])

    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 9, 3))
    fixed, dynamic = convert(frames.astype(np.uint8), [32, 64])
    np.testing.assert_array_equal(fixed, dynamic)
    assert fixed.shape == (2, 8, 32, 64, 3)


def letterboxed(mask, height, width):
    fitted = transforms.fit_mask(mask, height, width)
    return transforms.pad(fitted[None], height, width)[0]


@pytest.mark.parametrize(("h", "w", "height", "width"), SIZES)
def test_a_fitted_mask_is_true_where_half_of_a_cell_is(h, w, height, width):
    mask = np.random.default_rng(w).random((h, w, 1)) < 0.5
    new_h, new_w, top, left = content_of(h, w, height, width)

    def cover(old, new):
        edges = np.arange(old)[None]
        low = np.arange(new)[:, None] * old / new
        high = (np.arange(new)[:, None] + 1) * old / new
        overlap = np.minimum(high, edges + 1) - np.maximum(low, edges)
        return np.maximum(overlap, 0) * new / old

    coverage = cover(h, new_h) @ mask[..., 0] @ cover(w, new_w).T
    result = both(lambda m: letterboxed(m, height, width), mask)
    assert result.dtype == np.float32
    assert result.shape == (height, width, 1)
    content = result[top : top + new_h, left : left + new_w, 0]
    sure = np.abs(coverage - 0.5) > 1e-4
    assert sure.mean() > 0.5
    np.testing.assert_array_equal(content[sure], (coverage > 0.5)[sure])
    assert result.sum() == content.sum()

    stored = mask.astype(np.uint8) * 255
    same = letterboxed(stored, height, width)
    np.testing.assert_array_equal(same, result)


def test_mask_and_frames_share_their_geometry():
    picture = np.zeros((1, 90, 121, 1), np.float32)
    picture[0, 20:60, 30:90] = 1
    soft = transforms.letterbox(picture, 64, 64)[0]
    mask = letterboxed(picture[0], 64, 64)
    np.testing.assert_allclose(soft, mask, atol=0.76)
    assert abs(float(tf.reduce_sum(soft - mask))) < 30


@pytest.mark.parametrize(("h", "w", "height", "width"), SIZES)
def test_unletterbox(h, w, height, width):
    rng = np.random.default_rng(h)
    probabilities = rng.random((2, height, width, 1)).astype(np.float32)
    new_h, new_w, top, left = content_of(h, w, height, width)
    content = probabilities[:, top : top + new_h, left : left + new_w]
    expected = bilinear(content, h, w)
    result = both(lambda p: transforms.unletterbox(p, h, w), probabilities)
    assert result.shape == (2, h, w, 1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_unletterbox_undoes_letterbox():
    y, x = np.mgrid[0:60, 0:100] / 100
    smooth = (0.5 + 0.5 * np.sin(5 * x + 3 * y)).astype(np.float32)
    framed = transforms.letterbox(smooth[..., None], 96, 128)
    back = transforms.unletterbox(framed, 60, 100)
    np.testing.assert_allclose(back[..., 0], smooth, atol=0.01)


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 4, 5, 1)])
def test_flip(shape):
    pictures = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    result = both(transforms.flip, pictures)
    np.testing.assert_array_equal(result, pictures[:, :, ::-1])


def target(top, bottom, left, right, size=(40, 60)):
    mask = np.zeros((*size, 1), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def windows(mask, amount, centred, draws=200):
    """Many crops (draws, 4); the seeds are those of tf.data's elements."""
    seeds = tf.data.Dataset.range(draws).map(
        lambda n: transforms.crop_window(
            mask, tf.stack([n, 7 * n]), amount, centred
        )
    )
    return np.stack([window.numpy() for window in seeds])


@pytest.mark.parametrize("centred", [True, False])
def test_crop_keeps_the_target_and_cuts_no_more_than_allowed(centred):
    box = (4, 30, 12, 57)
    found = windows(target(*box), 0.5, centred)
    top, left, height, width = found.T
    assert len(np.unique(found, axis=0)) >= 20
    assert top.min() >= 0
    assert left.min() >= 0
    assert top.max() == 4
    assert left.max() <= 12
    assert (top + height).min() >= 30
    assert (left + width).min() >= 57
    assert (top + height).max() <= 40
    assert (left + width).max() <= 60
    assert height.min() >= 20
    assert width.min() >= 30
    if centred:
        np.testing.assert_array_equal(2 * top + height, 40)
        np.testing.assert_array_equal(2 * left + width, 60)
    else:
        assert np.any(2 * left + width != 60)


def test_crop_of_a_target_that_fills_the_frame_or_is_absent():
    for mask in (target(0, 40, 0, 60), target(0, 0, 0, 0)):
        found = windows(mask, 0.9, False, draws=20)
        assert np.all(found[:, :2] >= 0)
        assert np.all(found[:, :2] + found[:, 2:] <= [40, 60])
    whole = windows(target(0, 40, 0, 60), 0.9, False, draws=20)
    np.testing.assert_array_equal(whole, [[0, 0, 40, 60]] * 20)


def test_crop_without_a_target_keeps_the_whole_picture():
    found = windows(target(0, 0, 0, 0), 0.9, False, draws=5)
    np.testing.assert_array_equal(found, [[0, 0, 40, 60]] * 5)


def test_crop_is_stateless():
    mask = target(10, 20, 20, 30)

    def crop(seed):
        return transforms.crop_window(mask, seed, 0.5, False)

    np.testing.assert_array_equal(both(crop, [3, 4]), both(crop, [3, 4]))


def test_half_window_lies_around_the_target():
    found = []
    for n in range(100):
        box = target(5, 12, 30, 36)
        found.append(transforms.half_window(box, [n, 1], 0.5).numpy())
    top, left, height, width = np.array(found).T
    np.testing.assert_array_equal(top, 0)
    np.testing.assert_array_equal(height, 40)
    np.testing.assert_array_equal(width, 20)
    middle = (33 - left) / 20
    assert middle.min() >= 0.25
    assert middle.max() <= 0.8
    assert len(np.unique(left)) >= 8
    edge = transforms.half_window(target(0, 9, 0, 4), [1, 2], 0.5)
    np.testing.assert_array_equal(edge, [0, 0, 40, 20])
    wide = transforms.half_window(target(0, 9, 0, 4), [1, 2], 3.0)
    np.testing.assert_array_equal(wide, [0, 0, 40, 60])


def test_half_window_without_a_target_lies_anywhere():
    lefts = {
        int(transforms.half_window(target(0, 0, 0, 0), [n, 1], 0.5)[1])
        for n in range(60)
    }
    assert len(lefts) > 15
    assert min(lefts) >= 0
    assert max(lefts) <= 40


def test_colour_jitter():
    frames = np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), np.uint8)
    results = []
    for n in range(20):
        result = both(
            lambda f, s: transforms.colour_jitter(f, s, 0.2), frames, [n, 1]
        )
        assert result.dtype == np.uint8
        # What is not clipped is one affine function of the input, to rounding.
        inside = (result > 0) & (result < 255)
        slope, offset = np.polyfit(frames[inside], result[inside], 1)
        line = slope * frames[inside] + offset
        assert np.abs(line - result[inside]).max() < 0.6
        assert 0.79 < slope < 1.21
        assert abs(slope * 127.5 + offset - 127.5) < 255 * 0.2 + 0.5
        results.append(slope)
    assert np.ptp(results) > 0.2
    same = transforms.colour_jitter(frames, [5, 1], 0.0)
    np.testing.assert_array_equal(same, frames)


def test_word_dropout():
    tokens = np.tile(np.r_[np.arange(2, 12), np.zeros(10, int)], (500, 1))
    tokens = tokens.astype(np.int32)

    def dropout(probability):
        return both(
            lambda t, s: transforms.word_dropout(t, s, probability),
            tokens,
            [1, 2],
        )

    result = dropout(0.3)
    assert result.dtype == np.int32
    changed = result != tokens
    assert np.all(result[changed] == 1)
    assert not changed[:, 10:].any()
    assert changed[:, :10].mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(dropout(0.0), tokens)
    np.testing.assert_array_equal(dropout(1.0), np.where(tokens, 1, 0))


def test_check_size():
    frame_size.check_size(320, 96)
    with pytest.raises(ValueError, match=r"width 192 or 224\..*width=200") as e:
        frame_size.check_size(320, 200)
    assert "height 3" not in str(e.value)
    with pytest.raises(ValueError, match="height 32, width 32 or 64"):
        frame_size.check_size(0, 33)
    with pytest.raises(ValueError, match=r"height 32 or 64, width 32\."):
        frame_size.check_size(50, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("flip", 1.5), ("crop", 1.0), ("colour", -0.1), ("word_dropout", 2)],
)
def test_augmentation_checks_its_ranges(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}={value}"):
        transforms.Augmentation(**{name: value})
    assert transforms.Augmentation().flip == 0
