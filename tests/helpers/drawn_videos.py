"""Short videos, each frame of which has its own brightness."""

import cv2
import numpy as np


def write(path, frames, *, seed=0, size=(80, 48)):
    """Writes an mp4 of noise, of another brightness in each frame."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, size
    )
    for _ in range(frames):
        top = rng.integers(60, 255)
        image = rng.integers(0, top, (size[1], size[0], 3), np.uint8)
        writer.write(image)
    writer.release()
    return path
