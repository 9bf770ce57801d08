"""What a person looks at: overlays, captions, panels of samples, videos.

NumPy and OpenCV alone. Images are uint8 RGB arrays `(height, width, 3)`,
masks are boolean or 0/1 arrays `(height, width)`; nothing is changed in
place. Texts are drawn by `captions`.
"""

import itertools

import cv2
import numpy as np

from keras_vas.files import atomic_path
from keras_vas.pictures.captions import INK, PAPER, caption
from keras_vas.pictures.overlay import PREDICTION, TRUTH, draw
from keras_vas.video.writer import SMALLEST_WIDTH, VideoFile

_GAP = 4


def sample_picture(frame, truth, prediction, text, width=320):
    """Target frame, truth and prediction side by side over a caption.

    Args:
        frame: `(height, width, 3)` uint8 RGB.
        truth: `(height, width)` mask.
        prediction: `(height, width)` mask.
        text: caption, usually the sentence and the IoU.
        width: width of each of the three in pixels.

    Returns:
        `(height, 3 * width + gaps, 3)` uint8.
    """
    row = _beside(_large(frame, truth, prediction, width))
    return np.concatenate([row, caption(text, row.shape[1])])


def samples_panel(samples, *, width=240, thumbnails=4):
    """One row a sample: the clip small, target, truth, prediction, sentence.

    Args:
        samples: dicts with "frames" `(time, height, width, 3)` uint8 RGB,
            "target" (index of the target frame), "truth" and "prediction"
            `(height, width)` masks, "text" the caption. Sizes may differ
            from sample to sample; the frames are scaled to one width, those
            of tall videos to one height.
        width: width in pixels of target, truth and prediction.
        thumbnails: how many frames of the clip are shown, evenly spaced, two
            rows of them.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        ValueError: there is no sample.
    """
    rows = [_panel_row(sample, width, thumbnails) for sample in samples]
    if not rows:
        raise ValueError("A panel needs a sample. Received: samples=[]")
    head = [
        caption(text, part, size=13)
        for text, part in (
            ("clip", rows[0][1]),
            ("target frame", width + _GAP),
            ("truth", width + _GAP),
            ("prediction", width),
        )
    ]
    return np.concatenate([_beside(head, 0), *(row for row, _ in rows)])


def _panel_row(sample, width, thumbnails):
    frames = sample["frames"]
    frame = frames[sample["target"]]
    large = _large(frame, sample["truth"], sample["prediction"], width)
    columns = (thumbnails + 1) // 2
    height = large[0].shape[0]
    small_height = (height - _GAP) // 2
    small_width = (width - _GAP * (columns - 1)) // columns
    chosen = np.linspace(0, len(frames) - 1, thumbnails).round().astype(int)
    size = _size_within(frame, small_width, small_height)
    small = [
        _centre(_resize(frames[i], size), small_width, small_height)
        for i in chosen
    ]
    clip = np.full((height, width, 3), PAPER, np.uint8)
    for i, image in enumerate(small):
        y = (i // columns) * (small_height + _GAP)
        x = (i % columns) * (small_width + _GAP)
        clip[y : y + small_height, x : x + small_width] = image
    row = _beside([clip, *large])
    text = caption(sample["text"], row.shape[1])
    gap = np.full((_GAP, row.shape[1], 3), PAPER, np.uint8)
    return np.concatenate([row, text, gap]), width + _GAP


def _large(frame, truth, prediction, width):
    """Target frame, truth and prediction, scaled and then drawn upon."""
    height = max(1, round(width * min(frame.shape[0] / frame.shape[1], 1)))
    size = _size_within(frame, width, height)
    scaled = _resize(frame, size)
    images = [
        scaled,
        draw(scaled, [_resize(truth, size)], [TRUTH]),
        draw(scaled, [_resize(prediction, size)], [PREDICTION]),
    ]
    return [_centre(image, width, height) for image in images]


def _size_within(image, width, height):
    scale = min(width / image.shape[1], height / image.shape[0])
    return [max(1, round(n * scale)) for n in image.shape[1::-1]]


def _resize(image, size):
    """Scales a frame or a mask to `[width, height]`."""
    smaller = size[0] < image.shape[1]
    if image.ndim == 2:
        way = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
        cover = np.asarray(image != 0, np.float32)
        return cv2.resize(cover, size, interpolation=way) >= 0.5
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=way)


def _centre(image, width, height):
    centred = np.full((height, width, 3), PAPER, np.uint8)
    y, x = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    centred[y : y + image.shape[0], x : x + image.shape[1]] = image
    return centred


def _beside(images, gap=_GAP):
    images = list(images)
    height = max(image.shape[0] for image in images)
    padded = [
        cv2.copyMakeBorder(
            image,
            0,
            height - image.shape[0],
            0,
            0 if image is images[-1] else gap,
            cv2.BORDER_CONSTANT,
            value=PAPER,
        )
        for image in images
    ]
    return np.concatenate(padded, axis=1)


def write_overlay_video(path, frames, masks, captions=None, fps=8):
    """Writes a video of the frames with their masks and captions.

    Small videos are enlarged by a whole number, to 320 pixels of width or
    more.

    Args:
        path: final path, ending in .mp4.
        frames: iterable of `(height, width, 3)` uint8 RGB of one size.
        masks: iterable of `(height, width)`, one a frame.
        captions: one string for all frames, or one a frame, or `None`.
        fps: frames per second.

    Raises:
        ValueError: there is no frame, or frames, masks and captions differ in
            number or size.
        UserError: it cannot be written, such as where the disk is full.
    """
    pairs = zip(frames, masks, strict=True)
    if captions is None or isinstance(captions, str):
        triples = ((*pair, captions) for pair in pairs)
    else:
        triples = zip(frames, masks, captions, strict=True)
    images = (_video_image(*triple) for triple in triples)
    first = next(images, None)
    if first is None:
        raise ValueError("A video needs a frame. Received: frames=[]")
    with atomic_path(path) as temporary:
        video = VideoFile(temporary, fps, named=path)
        for number, image in enumerate(itertools.chain([first], images)):
            if image.shape != first.shape:
                raise ValueError(
                    "Frames of a video must have one size. Received: "
                    f"{image.shape} after {first.shape}"
                )
            video.add(image, number / fps)
        video.close()


def _video_image(frame, mask, text):
    times = -(-SMALLEST_WIDTH // frame.shape[1])
    size = [times * n for n in frame.shape[1::-1]]
    image = draw(
        _resize(frame, size), [_resize(np.asarray(mask), size)], [PREDICTION]
    )
    if text is not None:
        strip = caption(
            text,
            image.shape[1],
            colour=PAPER,
            background=INK,
            fixed_height=True,
        )
        image = np.concatenate([image, strip])
    return image
