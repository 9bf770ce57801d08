"""Which frames of a video make records, and decoding what their clips need."""

import os

import cv2

from keras_vas.data.records import schema
from keras_vas.video.capture import open_capture

# FFmpeg would print lines of its own for every damaged video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def evenly_spaced(numbers, count):
    """The middle items of `count` equal parts of a list, without repeats.

    The first and last frames are left alone: half of a clip around them
    would be one frame repeated.
    """
    places = ((2 * i + 1) * len(numbers) // (2 * count) for i in range(count))
    return list(dict.fromkeys(numbers[p] for p in places)) if numbers else []


def decode(path, annotated):
    """Decodes a video once, up to the last frame that a clip needs.

    Args:
        path: of the mp4 file.
        annotated: numbers of the annotated frames.

    Returns:
        (dict from frame number to JPEG `bytes`, (height, width), number of
        frames). The frames are counted as they are decoded, since a variable
        frame rate makes every other count wrong; decoding stops behind the
        last clip. No frames: the video cannot be decoded.
    """
    last_needed = max(annotated) + schema.CLIP_OFFSETS[-1]
    needed = {
        number
        for frame in annotated
        for number in schema.clip_frame_numbers(frame, last_needed)
    }
    capture = open_capture(path, threads=1)
    images, size, number, image = {}, None, 0, None
    try:
        while number < last_needed:
            read, decoded = capture.read()
            if not read:
                break
            image, number = decoded, number + 1
            size = size or image.shape[:2]
            if image.shape[:2] != size:
                return {}, None, 0
            if number in needed:
                images[number] = _encode(image)
    finally:
        capture.release()
    if number and number not in images:
        # Clips that reach behind the end repeat the last frame.
        images[number] = _encode(image)
    return images, size, number


def _encode(bgr):
    return schema.encode_jpeg(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
