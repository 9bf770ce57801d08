"""Moving actors: short drawn clips in which only a sentence finds the actor.

Every clip shows four actors, two looks (a colour and a shape) times two
actions. Each of them therefore has a *twin* (same look, other action) and a
*rival* (other look, same action), and nothing but the sentence says which of
the four is meant. Position, size and angle at the target frame are drawn
alike for all actions, so the target frame alone does not tell twins apart.

A clip's sentences are made from the triples (look, action, sentence form) of
its own split only: see `moving_actors_language`.
"""

import dataclasses
import statistics

import cv2
import numpy as np

from keras_vas.data.moving_actors import language
from keras_vas.data.records import schema

DATASET = "moving_actors"
SMALLEST_SIDE = 64
SENTENCES = ("actors", "actions")

_RGB = {
    "red": (214, 40, 40),
    "green": (44, 168, 62),
    "blue": (48, 84, 222),
    "yellow": (238, 214, 48),
    "purple": (168, 56, 200),
    "white": (246, 246, 246),
}


def _ngon(corners, radii, start=0.5):
    """Corners (n, 2) of a polygon, the first one pointing up."""
    angles = np.pi * (2 * np.arange(corners) / corners - start)
    radii = np.resize(radii, corners)[:, None]
    return radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_ARM = 0.42
_CROSS = 1.15 * np.array(
    [
        *[(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM)],
        *[(1, _ARM), (_ARM, _ARM), (_ARM, 1), (-_ARM, 1)],
        *[(-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)],
    ]
)
# Outlines around the origin in units of an actor's radius (a second outline
# is a hole), and how far above the centre the actor's dark spot sits: the
# spot makes rolling visible on every shape.
_OUTLINES = {
    "square": ((_ngon(4, 1.25, 0.25),), 0.5),
    "circle": ((_ngon(36, 1.05),), 0.55),
    "triangle": ((_ngon(3, 1.4),), 0.5),
    "star": ((_ngon(10, (1.4, 0.62)),), 0.45),
    "cross": ((_CROSS,), 0.65),
    "ring": ((_ngon(36, 1.15), _ngon(36, 0.55)), 0.85),
}
_EXTENTS = {
    shape: max(np.linalg.norm(outline, axis=1).max() for outline in outlines)
    for shape, (outlines, _) in _OUTLINES.items()
}

_STEPS = {
    "move left": (-1, 0),
    "move right": (1, 0),
    "move up": (0, -1),
    "move down": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A text, the triple it was made from and the actor that it means."""

    text: str
    look: str
    action: str
    form: int
    actor: int


@dataclasses.dataclass(frozen=True)
class Group:
    """A text that means everyone who does `action`."""

    text: str
    action: str
    actors: tuple


@dataclasses.dataclass(frozen=True)
class Clip:
    """A drawn clip.

    Attributes:
        frames: uint8 `(8, height, width, 3)`, RGB.
        masks: bool `(4, height, width)`, the visible part of each actor at
            the target frame. Actor 0 is the one the clip was drawn for, 1
            its twin, 2 its rival, 3 the other one.
        looks: four strings such as "red square".
        actions: four of the eight actions.
        sentences: at most one for each actor, at least that of actor 0.
        groups: in the training split a `Group` for each of the two actions,
            in the test split none.
    """

    frames: np.ndarray
    masks: np.ndarray
    looks: tuple
    actions: tuple
    sentences: tuple
    groups: tuple

    def video(self):
        """uint8 `(16, height, width, 3)`: every frame twice.

        A model sees every second frame of a video, and so it sees these as
        it did in training.
        """
        shown = schema.CLIP_OFFSETS[1] - schema.CLIP_OFFSETS[0]
        return np.repeat(self.frames, shown, axis=0)


def draw_clip(seed, split, index, *, height=96, width=96):
    """Draws one clip; the same arguments give the same bytes.

    Args:
        seed: int, at least 0.
        split: "train" or "test".
        index: int, at least 0, the clip's number in its split.
        height: of the frames in pixels, at least 64.
        width: of the frames in pixels, at least 64.

    Returns:
        A `Clip`.

    Raises:
        ValueError: for an unknown split, a negative number or small frames.
    """
    if split not in language.SPLITS:
        raise ValueError(
            f"split must be one of {language.SPLITS}. Received: {split=}"
        )
    if seed < 0 or index < 0:
        raise ValueError(
            f"seed and index must be at least 0. Received: {seed=}, {index=}"
        )
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"height and width must be at least {SMALLEST_SIDE}. "
            f"Received: {height=}, {width=}"
        )
    rng = np.random.Generator(
        np.random.SFC64([seed, language.SPLITS.index(split), index])
    )
    look, action, form = _pick(rng, language.triples(split))
    other_look = _pick(rng, [x for x in language.LOOKS if x != look])
    other_action = _pick(rng, [x for x in language.ACTIONS if x != action])
    looks = (look, look, other_look, other_look)
    actions = (action, other_action, action, other_action)
    sentences = []
    for actor, pair in enumerate(zip(looks, actions, strict=True)):
        if actor:
            forms = language.forms_of(split)[pair]
            if not forms:
                continue
            form = _pick(rng, forms)
        wording = int(rng.integers(3))
        text = language.sentence(*pair, form, wording)
        sentences.append(Sentence(text, *pair, form, actor))
    frames, masks = _draw(rng, looks, actions, height, width)
    groups = _groups(rng, actions) if split == "train" else ()
    return Clip(frames, masks, looks, actions, tuple(sentences), groups)


def _groups(rng, actions):
    groups = []
    for action in dict.fromkeys(actions):
        form = int(rng.integers(len(language.GROUP_FORMS)))
        text = language.group_sentence(action, form, int(rng.integers(3)))
        actors = tuple(i for i, other in enumerate(actions) if other == action)
        groups.append(Group(text, action, actors))
    return tuple(groups)


def annotated_frame(
    video_id, split, *, sentences="actors", seed=0, height=96, width=96
):
    """The record of the clip that a video id such as "train-000123" names.

    Args:
        video_id: its number after the last hyphen is that of the clip.
        split: "train" or "test".
        sentences: one of `SENTENCES`. "actors" holds every sentence about
            one actor; "actions" the clip's group sentences and that of actor
            0. A group is one more actor, whose id joins those of its members.
        seed: int, at least 0.
        height: of the frames in pixels, at least 64.
        width: likewise.

    Returns:
        `schema.AnnotatedFrame`.
    """
    if sentences not in SENTENCES:
        raise ValueError(
            f"sentences must be one of {SENTENCES}. Received: {sentences=}"
        )
    index = int(video_id.rpartition("-")[2])
    clip = draw_clip(seed, split, index, height=height, width=width)
    actors = [
        schema.Actor(id=str(i), mask=mask, look=look, action=action)
        for i, (mask, look, action) in enumerate(
            zip(clip.masks, clip.looks, clip.actions, strict=True)
        )
    ]
    spoken, grouped = clip.sentences, ()
    if sentences == "actions":
        spoken, grouped = clip.sentences[:1], clip.groups
    groups = [
        schema.Actor(
            id="+".join(map(str, group.actors)),
            mask=clip.masks[list(group.actors)].any(axis=0),
            action=group.action,
        )
        for group in grouped
    ]
    queries = [
        schema.Query(text=sentence.text, actor=sentence.actor)
        for sentence in spoken
    ] + [
        schema.Query(text=group.text, actor=len(actors) + i)
        for i, group in enumerate(grouped)
    ]
    target_number = 1 - schema.CLIP_OFFSETS[0]
    last_number = target_number + schema.CLIP_OFFSETS[-1]
    return schema.AnnotatedFrame(
        dataset=DATASET,
        video_id=video_id,
        subset=split,
        frame_number=target_number,
        clip=list(clip.frames),
        clip_frame_numbers=schema.clip_frame_numbers(
            target_number, last_number
        ),
        height=height,
        width=width,
        actors=(*actors, *groups),
        queries=tuple(queries),
    )


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def _draw(rng, looks, actions, height, width):
    scale = min(height, width) / 96
    shapes = [look.split()[1] for look in looks]
    radii = scale * rng.uniform(10.0, 14.0, size=len(looks))
    reach = radii * [_EXTENTS[shape] for shape in shapes]
    centres = _layout(rng, reach, height, width)
    tracks = [
        _track(rng, action, centre, radius, scale)
        for action, centre, radius in zip(actions, centres, radii, strict=True)
    ]
    shades = {
        look: np.clip(
            _RGB[look.split()[0]] + rng.uniform(-14, 14, size=3), 0, 255
        )
        for look in dict.fromkeys(looks)
    }
    order = rng.permutation(len(looks))
    frames = np.empty((schema.CLIP_LENGTH, height, width, 3), np.uint8)
    frames[:] = _background(rng, height, width)
    masks = np.zeros((len(looks), height, width), bool)
    for t, frame in enumerate(frames):
        for actor in order:
            outlines, spot = _place(shapes[actor], *tracks[actor][t])
            shade = shades[looks[actor]]
            _fill(frame, outlines, shade.tolist())
            _fill(frame, spot, (0.3 * shade).tolist())
            if t == schema.TARGET_INDEX:
                cover = np.zeros((height, width), np.uint8)
                _fill(cover, outlines, 255)
                masks &= cover < 128
                masks[actor] = cover >= 128
    return _noisy(rng, frames), masks


def _layout(rng, reach, height, width):
    """Centres (actors, 2) at the target frame: inside, and hardly touching.

    Layouts are drawn as a whole until one fits, so no actor's place depends
    on its action.
    """
    low, high = reach[:, None], np.array([width, height]) - reach[:, None]
    first, second = np.triu_indices(len(reach), 1)
    distance = reach[first] + reach[second]
    closeness = 0.9
    while True:
        layouts = low + (high - low) * rng.random((64, len(reach), 2))
        apart = layouts[:, first] - layouts[:, second]
        fits = np.hypot(*np.moveaxis(apart, -1, 0)) >= closeness * distance
        found = np.flatnonzero(fits.all(axis=1))
        if found.size:
            return layouts[found[0]]
        closeness *= 0.98


def _track(rng, action, centre, radius, scale):
    """Per frame `(x, y, radius, angle)`, (8, 4), at `centre` in the target."""
    time = np.arange(schema.CLIP_LENGTH) - schema.TARGET_INDEX
    track = np.empty((schema.CLIP_LENGTH, 4))
    track[:] = (*centre, radius, rng.uniform(0, 2 * np.pi))
    if action in _STEPS:
        speed = scale * rng.uniform(3.0, 4.5)
        track[:, :2] += speed * time[:, None] * np.array(_STEPS[action])
    elif action == "jump":
        height = scale * rng.uniform(10, 15)
        phase = rng.uniform(0, 1)
        lift = np.abs(np.sin(np.pi * (time / rng.uniform(4, 5) + phase)))
        track[:, 1] -= height * (lift - lift[schema.TARGET_INDEX])
    elif action == "roll":
        turn = np.radians(rng.uniform(24, 36)) * rng.choice([-1, 1])
        track[:, 3] += turn * time
    elif action == "grow":
        track[:, 2] *= np.exp(rng.uniform(0.08, 0.12) * time)
    return track


_SHIFT = 4


def _place(shape, x, y, radius, angle):
    """Outlines of an actor and of its spot, in fixed-point pixels."""
    cos, sin = radius * np.cos(angle), radius * np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    outlines, up = _OUTLINES[shape]
    spot = 0.22 * _SPOT - (0, up)
    return [
        [
            np.rint((outline @ turn + (x, y)) * 2**_SHIFT).astype(np.int32)
            for outline in part
        ]
        for part in (outlines, (spot,))
    ]


_SPOT = _ngon(12, 1.0)


def _fill(image, outlines, colour):
    cv2.fillPoly(image, outlines, colour, cv2.LINE_AA, _SHIFT)


def _background(rng, height, width):
    """A smooth coloured texture over a slope, sometimes striped, uint8."""
    grid = np.stack(
        np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), -1
    ).astype(np.float32)
    image = np.full((height, width, 3), rng.uniform(60, 170), np.float32)
    image += rng.uniform(-18, 18, size=3)
    for cells, strength in ((3, 26), (9, 12), (24, 6)):
        noise = rng.uniform(-1, 1, size=(cells, cells, 3))
        noise = 0.6 * noise.mean(axis=2, keepdims=True) + 0.6 * noise
        image += strength * cv2.resize(
            noise.astype(np.float32), (width, height), interpolation=2
        )
    ways = rng.uniform(-1, 1, size=(2, 2)).astype(np.float32)
    slope, across = grid @ ways[0], grid @ ways[1]
    image += 24 * slope[..., None]
    if rng.random() < 0.4:
        waves = np.sin(rng.uniform(6, 22) * across)
        image += rng.uniform(4, 14) * waves[..., None]
    return np.clip(image, 0, 235).astype(np.uint8)


_NORMAL = np.array(
    [statistics.NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)]
)


def _noisy(rng, frames):
    """Adds normal pixel noise and a little flicker to uint8 frames."""
    table = np.rint(rng.uniform(1.5, 6) * _NORMAL)
    flicker = np.rint(rng.normal(0, 1.5, size=len(frames)))
    draws = np.frombuffer(rng.bytes(frames.size), np.uint8)
    for frame, draw, shift in zip(
        frames, draws.reshape(frames.shape), flicker, strict=True
    ):
        noise = cv2.LUT(draw, (table + shift).astype(np.int16))
        cv2.add(frame, noise, frame, dtype=cv2.CV_8U)
    return frames
