"""The one definition of a record, for writers and readers alike.

A record is one annotated frame: the clip around it as JPEG, every actor with
its mask as PNG, and every sentence with the actor that it describes. It is a
`tf.train.Example` with the fields named below; a *sample* is one (record,
query) pair, with the id `"<key>/<query index>"`.

Needs no TensorFlow, so that a converter's processes stay small. `parsing` reads
a record, `data.record_tensors` reads it within a graph.
"""

import dataclasses

import cv2
import numpy as np

from keras_vas.data.records import example_proto

SCHEMA_VERSION = 1
SUBSETS = ("train", "test")

CLIP_LENGTH = 8
CLIP_OFFSETS = tuple(range(-8, 8, 2))
TARGET_INDEX = CLIP_OFFSETS.index(0)

JPEG_QUALITY = 92

SCHEMA_VERSION_FIELD = "schema_version"
KEY = "key"
DATASET = "dataset"
VIDEO_ID = "video_id"
SUBSET = "subset"
FRAME_NUMBER = "frame_number"
HEIGHT = "height"
WIDTH = "width"
CLIP_FRAMES = "clip_frames"
CLIP_FRAME_NUMBERS = "clip_frame_numbers"
ACTOR_IDS = "actor_ids"
ACTOR_MASKS = "actor_masks"
ACTOR_LOOKS = "actor_looks"
ACTOR_ACTIONS = "actor_actions"
QUERY_TEXTS = "query_texts"
QUERY_ACTORS = "query_actors"

# name: (type, how many; None is any number)
FIELDS = {
    SCHEMA_VERSION_FIELD: (int, 1),
    KEY: (bytes, 1),
    DATASET: (bytes, 1),
    VIDEO_ID: (bytes, 1),
    SUBSET: (bytes, 1),
    FRAME_NUMBER: (int, 1),
    HEIGHT: (int, 1),
    WIDTH: (int, 1),
    CLIP_FRAMES: (bytes, CLIP_LENGTH),
    CLIP_FRAME_NUMBERS: (int, CLIP_LENGTH),
    ACTOR_IDS: (bytes, None),
    ACTOR_MASKS: (bytes, None),
    ACTOR_LOOKS: (bytes, None),
    ACTOR_ACTIONS: (bytes, None),
    QUERY_TEXTS: (bytes, None),
    QUERY_ACTORS: (int, None),
}


def clip_frame_numbers(frame, num_frames):
    """Numbers of the frames that make the clip of an annotated frame.

    Every number is clamped by itself, so that the annotated frame always
    stands at `TARGET_INDEX`.

    Args:
        frame: number of the annotated frame, counted from 1.
        num_frames: frames in the video.

    Returns:
        List of `CLIP_LENGTH` ints in 1..num_frames.

    Raises:
        ValueError: `frame` is outside of the video.
    """
    if not 1 <= frame <= num_frames:
        raise ValueError(
            "The annotated frame must be one of the video's frames. "
            f"Received: frame={frame}, num_frames={num_frames}"
        )
    return [min(max(frame + o, 1), num_frames) for o in CLIP_OFFSETS]


def video_of(key):
    """The video of a record's key, behind its data set's name."""
    return key.rsplit("/", 1)[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Actor:
    """An actor of one frame.

    Attributes:
        id: the data set's own name of the instance, stable within a video.
        mask: bool array (height, width).
        look: appearance, where the data set names it, else "".
        action: action, where the data set names it, else "".
    """

    id: str
    mask: np.ndarray
    look: str = ""
    action: str = ""


@dataclasses.dataclass(frozen=True)
class Query:
    """A sentence, unchanged, and the index of its actor in the frame."""

    text: str
    actor: int


@dataclasses.dataclass(frozen=True, eq=False)
class AnnotatedFrame:
    """What one record holds.

    Attributes:
        dataset: name of the data set.
        video_id: name of the video, unique in the data set.
        subset: "train" or "test".
        frame_number: number of the annotated frame, counted from 1.
        clip: `CLIP_LENGTH` frames in order of time, each a uint8 RGB array
            (height, width, 3) or `bytes` that are a JPEG of that size.
        clip_frame_numbers: the number of each of them in the video.
        height: of the source video, in pixels.
        width: of the source video, in pixels.
        actors: tuple of `Actor`; those that no sentence names belong too.
        queries: tuple of `Query`.
    """

    dataset: str
    video_id: str
    subset: str
    frame_number: int
    clip: list
    clip_frame_numbers: list
    height: int
    width: int
    actors: tuple = ()
    queries: tuple = ()

    @property
    def key(self):
        """The record's name, unique over all data sets."""
        return f"{self.dataset}/{self.video_id}/{self.frame_number:05d}"


def serialize(frame):
    """Writes an `AnnotatedFrame` as the bytes of a `tf.train.Example`.

    Frames become JPEG of quality 92 without chroma subsampling (which would
    wash out small coloured actors); masks become lossless PNG.

    Args:
        frame: `AnnotatedFrame`.

    Returns:
        `bytes`, equal for equal frames.

    Raises:
        ValueError: the parts of the frame do not fit together.
    """
    check(frame)
    clip = [f if isinstance(f, bytes) else encode_jpeg(f) for f in frame.clip]
    return example_proto.encode_example(
        {
            SCHEMA_VERSION_FIELD: [SCHEMA_VERSION],
            KEY: [frame.key.encode()],
            DATASET: [frame.dataset.encode()],
            VIDEO_ID: [frame.video_id.encode()],
            SUBSET: [frame.subset.encode()],
            FRAME_NUMBER: [frame.frame_number],
            HEIGHT: [frame.height],
            WIDTH: [frame.width],
            CLIP_FRAMES: clip,
            CLIP_FRAME_NUMBERS: list(frame.clip_frame_numbers),
            ACTOR_IDS: [a.id.encode() for a in frame.actors],
            ACTOR_MASKS: [encode_mask(a.mask) for a in frame.actors],
            ACTOR_LOOKS: [a.look.encode() for a in frame.actors],
            ACTOR_ACTIONS: [a.action.encode() for a in frame.actors],
            QUERY_TEXTS: [q.text.encode() for q in frame.queries],
            QUERY_ACTORS: [q.actor for q in frame.queries],
        }
    )


def encode_jpeg(image, quality=JPEG_QUALITY):
    """Encodes a uint8 RGB array (height, width, 3) as JPEG `bytes`."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, options)[1].tobytes()


def decode_jpeg(data):
    """Decodes JPEG `bytes` to a uint8 RGB array (height, width, 3)."""
    image = _decoded(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("The bytes must be a JPEG image.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def encode_mask(mask):
    """Encodes a bool array (height, width) as one-channel PNG, 0 and 255."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def decode_mask(data):
    """Decodes a mask's PNG `bytes` to a bool array (height, width)."""
    mask = _decoded(data, cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError("The bytes must be a PNG image.")
    return mask > 127


def _decoded(data, how):
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:  # no bytes, or too many pixels
        return None


def check(frame):
    """Raises a ValueError if parts of an `AnnotatedFrame` do not fit.

    Args:
        frame: `AnnotatedFrame`; JPEG `bytes` of its clip are not looked at.
    """
    size = (frame.height, frame.width)
    if frame.subset not in SUBSETS:
        raise ValueError(
            f"subset must be one of {SUBSETS}. Received: subset={frame.subset}"
        )
    for name in ("clip", "clip_frame_numbers"):
        if len(getattr(frame, name)) != CLIP_LENGTH:
            raise ValueError(
                f"{name} must hold {CLIP_LENGTH} items. "
                f"Received: length={len(getattr(frame, name))}"
            )
    for image in frame.clip:
        if isinstance(image, bytes):
            continue
        if image.shape != (*size, 3) or image.dtype != np.uint8:
            raise ValueError(
                "A clip's frame must be uint8 and of the record's size. "
                f"Received: shape={image.shape}, dtype={image.dtype}"
            )
    for actor in frame.actors:
        if actor.mask.shape != size or actor.mask.dtype != bool:
            raise ValueError(
                "A mask must be bool and of the record's size. "
                f"Received: shape={actor.mask.shape}, dtype={actor.mask.dtype}"
            )
    ids = [actor.id for actor in frame.actors]
    if len(set(ids)) != len(ids):
        raise ValueError(f"Actors must differ in id. Received: ids={ids}")
    for query in frame.queries:
        if not 0 <= query.actor < len(frame.actors):
            raise ValueError(
                "A query must point to an actor of its frame. "
                f"Received: actor={query.actor}, actors={len(frame.actors)}"
            )
