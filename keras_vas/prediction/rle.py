"""Masks as the run-length code of COCO, compressed to text.

Pixels are read column by column; the counts of the runs, which begin with a
run of zeros, are written in base 32, each as its difference to the count
before the last.

Reference:
    Lin et al., "Microsoft COCO: Common Objects in Context", and its tools'
    mask format.
"""

import numpy as np

_BITS = 5
_DIGIT = 31  # five bits; the next says that more follow
_SIGN = 16
_ZERO = 48  # the character that stands for 0
_MOST_DIGITS = 7


def encode(mask):
    """Encodes a mask.

    Args:
        mask: bool array `(height, width)`.

    Returns:
        `bytes`, what COCO calls `counts`.
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    if flat.size and flat[0]:
        runs = np.concatenate([[0], runs])
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    digits = np.zeros((len(rest), _MOST_DIGITS), np.uint8)
    used = np.zeros(digits.shape, bool)
    open_ = np.ones(len(rest), bool)
    for place in range(_MOST_DIGITS):
        digit = rest & _DIGIT
        rest = rest >> _BITS
        more = np.where(digit & _SIGN, rest != -1, rest != 0)
        used[:, place] = open_
        digits[:, place] = digit + _ZERO + (more << _BITS)
        open_ = open_ & more
    return digits[used].tobytes()


def decode(counts, height, width):
    """The mask that `encode` was given.

    Args:
        counts: `bytes` or ASCII str.
        height: of the mask in pixels.
        width: likewise.

    Returns:
        bool array `(height, width)`.

    Raises:
        ValueError: the counts are of another size.
    """
    data = counts.encode() if isinstance(counts, str) else counts
    runs = []
    value = place = 0
    for character in data:
        digit = character - _ZERO
        value |= (digit & _DIGIT) << (_BITS * place)
        place += 1
        if digit & (_DIGIT + 1):
            continue
        if digit & _SIGN:
            value -= 1 << (_BITS * place)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = place = 0
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(
            f"counts must cover {height} x {width} pixels. "
            f"Received: {sum(runs)}"
        )
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(width, height).T
