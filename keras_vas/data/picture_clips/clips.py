"""Records of clips that are made from pictures."""

import dataclasses

import numpy as np

from keras_vas.data import records
from keras_vas.data.picture_clips import language, scene
from keras_vas.data.picture_clips.collection import KINDS, collect
from keras_vas.data.picture_clips.whole import whole_instances
from keras_vas.data.records import schema

DATASET = "pictures"
_ABSENT_SHARE = 0.1  # of the sentences
_COLOUR_SHARE = 0.45
_MOTION_SHARE = 0.55
_LEAST_APART = 0.15  # of the width, between the left and the right one


def convert(video_id, split, *, source, seed):
    """Makes the one annotated frame of a clip such as "cutouts-000012".

    Args:
        video_id: kind and number of the clip.
        split: "train" or "test".
        source: folder with the pictures.
        seed: int; another seed makes other clips.

    Returns:
        `records.Conversion`.

    Raises:
        UserError: the source is damaged, or has nothing to make clips of.
    """
    collection = collect(source)
    kind, _, number = video_id.rpartition("-")
    rng = np.random.default_rng(
        [seed, schema.SUBSETS.index(split), KINDS.index(kind), int(number)]
    )
    if kind == "stills":
        made = _still(rng, collection, int(number))
    elif kind == "sentences":
        made = _said(rng, collection, int(number))
    else:
        made = _moving(rng, collection)
    height, width = made.frames.shape[1:3]
    actors = [
        schema.Actor(id=str(i), mask=mask, look=look, action=action)
        for i, (mask, look, action) in enumerate(
            zip(made.masks, made.looks, made.actions, strict=True)
        )
    ]
    queries = list(made.queries)
    absent = _absent(rng, collection, made.present, len(queries))
    if absent:
        nothing = np.zeros((height, width), bool)
        queries.append((absent, len(actors)))
        actors.append(schema.Actor(id="nothing", mask=nothing))
    if not queries:
        return records.Conversion([], [("nothing to say", video_id)])
    target = 1 - schema.CLIP_OFFSETS[0]
    frame = schema.AnnotatedFrame(
        dataset=DATASET,
        video_id=video_id,
        subset=split,
        frame_number=target,
        clip=list(made.frames),
        clip_frame_numbers=schema.clip_frame_numbers(
            target, target + schema.CLIP_OFFSETS[-1]
        ),
        height=height,
        width=width,
        actors=tuple(actors),
        queries=tuple(schema.Query(text, actor) for text, actor in queries),
    )
    return records.Conversion([frame])


@dataclasses.dataclass(frozen=True, eq=False)
class _Made:
    """A clip before it is a record.

    Attributes:
        frames: uint8 (8, height, width, 3).
        masks: bool (objects, height, width).
        looks: list of the objects' categories.
        actions: list of their motions.
        queries: list of (sentence, number of the object that it means).
        present: set of all categories in sight.
    """

    frames: np.ndarray
    masks: np.ndarray
    looks: list
    actions: list
    queries: list
    present: set


def _moving(rng, collection):
    """A clip of cut-outs: alone, with a rival, or with a twin and a rival."""
    background = _pick(rng, collection.backgrounds)
    count = int(rng.choice([1, 2, 2, 3]))
    options = rng.permutation(_categories(rng, collection, count))
    motions = rng.choice(list(language.MOTIONS), len(options)).tolist()
    things = [collection.thing(rng, category) for category in options]
    if len(options) > 1 and rng.random() < 0.45:
        # A twin: the same kind of object, often the very same cut-out.
        things[1] = (
            things[0]
            if rng.random() < 0.6
            else collection.thing(rng, options[0])
        )
        others = [m for m in language.MOTIONS if m != motions[0]]
        motions[1] = _pick(rng, others)
        if len(options) > 2:
            motions[2] = motions[0]
    cut_outs, colours = [], []
    for picture, instance in things:
        image = picture.read()
        mask = instance.mask(*image.shape[:2])
        cut_outs.append(scene.cut_out(image, mask))
        shown = _shown(instance, mask)
        colours.append(language.colour_name(image, shown))
    looks = [instance.category for _, instance in things]
    frames, masks, centres, visible = scene.draw(
        rng, background.read(), cut_outs, motions
    )
    behind = {x.category for x in background.instances}
    queries = []
    for actor in np.flatnonzero(visible):
        text = _describe(
            rng, actor, looks, colours, motions, centres, looks[actor] in behind
        )
        if text:
            queries.append((text, int(actor)))
    return _Made(frames, masks, looks, motions, queries, behind | set(looks))


def _categories(rng, collection, count):
    """Distinct categories: often a person, and mostly what moves by itself."""
    things = [x for x in collection.categories if x != "person"]
    if not things:
        return ["person"]
    shares = np.array([3.0 if language.moves(x) else 1.0 for x in things])
    chosen = rng.choice(
        things, min(count, len(things)), replace=False, p=shares / shares.sum()
    ).tolist()
    if "person" in collection.categories and rng.random() < 0.3 * count:
        chosen[0] = "person"
    return chosen


def _describe(rng, actor, looks, colours, motions, centres, behind):
    """A sentence that means one of the objects alone, or `""`."""
    look = looks[actor]
    rivals = [i for i, x in enumerate(looks) if i != actor and _may_be(look, x)]
    colour = colours[actor] if rng.random() < _COLOUR_SHARE else ""
    motion = motions[actor] if rng.random() < _MOTION_SHARE else ""
    place = ""
    moves_alone = all(motions[i] != motions[actor] for i in rivals)
    if behind:
        # One that stands in the background does not move in the picture.
        if not moves_alone or motions[actor] == "still":
            return ""
        motion = motions[actor]
    elif rivals and moves_alone and rng.random() < _MOTION_SHARE:
        motion = motions[actor]
    elif rivals:
        place = _place(centres, actor, rivals)
        if not place:
            return ""
    return language.sentence(
        rng,
        language.noun_phrase(rng, look, colour, place),
        motion and language.motion_phrase(rng, look, motion),
    )


def _place(centres, actor, rivals):
    distance = centres[actor] - centres[rivals]
    if (distance < -_LEAST_APART).all():
        return "left"
    return "right" if (distance > _LEAST_APART).all() else ""


def _may_be(look, other):
    """Whether a name of one category is one of the other's too."""
    return bool(set(language.names_of(look)) & set(language.names_of(other)))


def _still(rng, collection, number):
    """A picture, or a slow pan and zoom of it."""
    picture = collection.stills[number % len(collection.stills)]
    image, size = picture.read(), (picture.height, picture.width)
    whole = whole_instances(picture)
    masks = np.array([x.mask(*size) for x in whole], bool).reshape(-1, *size)
    frames, moved = scene.pan(rng, image, masks)
    queries = []
    for actor, instance in enumerate(whole):
        place = _place_in(picture, instance)
        if place is None:
            continue
        colour = ""
        if rng.random() < _COLOUR_SHARE:
            shown = _shown(instance, masks[actor])
            colour = language.colour_name(image, shown)
        phrase = language.noun_phrase(rng, instance.category, colour, place)
        queries.append((phrase, actor))
    looks = [x.category for x in whole]
    present = {x.category for x in picture.instances}
    return _Made(frames, moved, looks, [""] * len(looks), queries, present)


def _said(rng, collection, number):
    """A picture, still or panned, with what people wrote about it."""
    about = collection.said[number % len(collection.said)]
    picture = about.picture
    size = picture.height, picture.width
    masks = np.array([x.mask(*size) for x in picture.instances], bool)
    frames, moved = scene.pan(rng, picture.read(), masks)
    queries = [x for x in about.sentences if moved[x[1]].any()]
    looks = [x.category for x in picture.instances]
    # In a picture with a crowd, anything may be there.
    present = set(looks if picture.whole else collection.categories)
    return _Made(frames, moved, looks, [""] * len(looks), queries, present)


def _place_in(picture, instance):
    """Which of a picture's like instances one is.

    `""` if it is the only one, `None` if its place does not say it.
    """
    alike = [
        x for x in picture.instances if _may_be(instance.category, x.category)
    ]
    if len(alike) == 1:
        return ""
    columns = (np.arange(picture.width) + 0.5) / picture.width
    middles = []
    for other in alike:
        across = other.mask(picture.height, picture.width).sum(axis=0)
        middles.append(across @ columns / max(across.sum(), 1))
    own = next(i for i, other in enumerate(alike) if other is instance)
    others = [i for i in range(len(alike)) if i != own]
    return _place(np.array(middles), own, others) or None


def _absent(rng, collection, present, others):
    """A sentence about what is not there, for about a tenth of all."""
    chance = _ABSENT_SHARE * max(others, 1) / (1 - _ABSENT_SHARE)
    missing = [
        category
        for category in collection.categories
        if not any(_may_be(category, x) for x in present)
    ]
    if not missing or rng.random() > chance:
        return ""
    category = _pick(rng, missing)
    motion = ""
    if rng.random() < 0.5:
        name = _pick(rng, list(language.MOTIONS))
        motion = language.motion_phrase(rng, category, name)
    return language.sentence(rng, language.noun_phrase(rng, category), motion)


def _shown(instance, mask):
    """Where an object has the colour that people name: a person's shirt."""
    if instance.category != "person":
        return mask
    rows = mask.any(axis=1).nonzero()[0]
    top, size = rows[0], rows[-1] - rows[0]
    shirt = mask.copy()
    shirt[: top + int(0.22 * size)] = False
    shirt[top + int(0.5 * size) :] = False
    return shirt if shirt.any() else mask


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]
