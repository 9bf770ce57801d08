"""What a sentence about a cut-out can say: its name, colour, motion, place."""

import cv2
import numpy as np

# Category of COCO -> other names of it. The first noun group of a name is
# what it means; categories that are not listed have their own name alone.
NAMES = {
    "person": ("person", "person", "man", "woman", "boy", "girl", "guy",
               "lady", "kid", "child", "adult"),
    "bicycle": ("bicycle", "bike", "cycle"),
    "car": ("car", "automobile", "vehicle", "auto"),
    "motorcycle": ("motorcycle", "motorbike", "bike"),
    "airplane": ("airplane", "plane", "aircraft", "jet"),
    "bus": ("bus", "coach", "vehicle"),
    "train": ("train", "locomotive"),
    "truck": ("truck", "lorry", "vehicle"),
    "boat": ("boat", "ship", "vessel"),
    "bird": ("bird", "animal"),
    "cat": ("cat", "kitty", "animal"),
    "dog": ("dog", "puppy", "hound", "animal"),
    "horse": ("horse", "pony", "animal"),
    "sheep": ("sheep", "lamb", "animal"),
    "cow": ("cow", "bull", "cattle", "animal"),
    "elephant": ("elephant", "animal"),
    "bear": ("bear", "animal"),
    "zebra": ("zebra", "animal"),
    "giraffe": ("giraffe", "animal"),
    "backpack": ("backpack", "bag", "rucksack"),
    "handbag": ("handbag", "bag", "purse"),
    "suitcase": ("suitcase", "bag", "luggage"),
    "sports ball": ("ball",),
    "wine glass": ("glass", "goblet"),
    "couch": ("couch", "sofa"),
    "potted plant": ("plant",),
    "tv": ("television", "screen", "tv"),
    "cell phone": ("phone", "cellphone"),
    "donut": ("donut", "doughnut"),
    "fire hydrant": ("hydrant", "fire hydrant"),
    "teddy bear": ("teddy bear", "teddy", "toy"),
}  # fmt: skip

_WALKERS = frozenset(
    "person cat dog horse sheep cow elephant bear zebra giraffe".split()
)
_DRIVERS = frozenset("car bus train truck motorcycle bicycle".split())
_FLYERS = frozenset(("airplane", "bird", "kite", "frisbee"))

# Motion -> phrases that say it; `{}` is a verb of the category.
MOTIONS = {
    "left": ("moving left", "{} to the left", "{} left", "going left"),
    "right": ("moving right", "{} to the right", "{} right", "going right"),
    "up": ("moving up", "rising", "going up"),
    "down": ("moving down", "sinking", "going down"),
    "still": ("standing still", "not moving", "staying in place"),
    "jump": ("jumping", "hopping up and down", "bouncing"),
    "turn": ("rolling", "turning over", "tilting"),
    "near": ("coming closer", "growing larger", "approaching"),
}
PLACES = ("left", "right")

_COLOURS = {  # hue in degrees, where a colour begins
    "red": 0, "orange": 17, "yellow": 42, "green": 72, "blue": 165,
    "purple": 262, "pink": 300, "red ": 340,
}  # fmt: skip
_SURE = 0.45  # share of the pixels that must have the colour
_SHADES = {"gray": ("gray", "grey")}


def colour_name(image, mask):
    """The colour of most of an object, `""` where none is clear.

    Args:
        image: uint8 RGB array (height, width, 3).
        mask: bool array (height, width), the object.

    Returns:
        One of red, orange, yellow, green, blue, purple, pink, brown, black,
        white, gray, or `""`.
    """
    pixels = image[mask][None].astype(np.float32) / 255
    if not pixels.size:
        return ""
    hue, saturation, value = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[0].T
    starts = np.array(list(_COLOURS.values()))
    names = np.array([name.strip() for name in _COLOURS])
    found = names[np.searchsorted(starts, hue, side="right") - 1]
    brownish = np.isin(found, ("orange", "yellow", "red"))
    found = np.where(
        brownish & (value < 0.6) & (saturation < 0.75) & (hue < 50),
        "brown",
        found,
    )
    found = np.where(saturation < 0.2, "gray", found)
    found = np.where((saturation < 0.2) & (value > 0.75), "white", found)
    found = np.where(value < 0.2, "black", found)
    options, counts = np.unique(found, return_counts=True)
    best = counts.argmax()
    return str(options[best]) if counts[best] >= _SURE * found.size else ""


def moves(category):
    """Whether things of a category move by themselves."""
    return category in _WALKERS | _DRIVERS | _FLYERS | {"boat"}


def names_of(category):
    """What a category of COCO may be called, its usual name first."""
    return NAMES.get(category, (category,))


def noun_phrase(rng, category, colour="", place=""):
    """For example "a red bus on the left" or "a man in blue".

    Args:
        rng: `np.random.Generator`.
        category: of COCO.
        colour: of `colour_name`, or `""` to say none.
        place: one of `PLACES`, or `""`.
    """
    name = _pick(rng, names_of(category))
    shade = _pick(rng, _SHADES.get(colour, (colour,)))
    after = ""
    if shade and category == "person":
        after = _pick(
            rng, (f" in {shade}", f" in a {shade} shirt", f" wearing {shade}")
        )
    elif shade:
        name = f"{shade} {name}"
    if place:
        after += _pick(rng, (f" on the {place}", f" at the {place}"))
    article = "an" if name[0] in "aeiou" else "a"
    article = _pick(rng, ("the", article, article)) if not place else "the"
    return f"{article} {name}{after}"


def motion_phrase(rng, category, motion):
    """For example "walking to the left"."""
    verb = "moving"
    if category in _WALKERS:
        verb = _pick(rng, ("walking", "running"))
    elif category in _DRIVERS:
        verb = _pick(rng, ("driving", "riding"))
    elif category in _FLYERS:
        verb = "flying"
    return _pick(rng, MOTIONS[motion]).format(verb)


def sentence(rng, phrase, motion=""):
    """Noun phrase and motion in one of four forms."""
    if not motion:
        return phrase
    forms = ("{} {}", "{} is {}", "{} that is {}", "{} which is {}")
    return _pick(rng, forms).format(phrase, motion)


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]
