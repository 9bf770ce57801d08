"""The sentences of moving actors, and how they are split.

A sentence is made from a triple (look, action, form). A hash of the triple
says whether it belongs to the training or to the test split, whatever the
seed of the clips: the two splits share no triple.
"""

import functools
import hashlib
import itertools

SPLITS = ("train", "test")
TEST_SHARE = 0.2

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("square", "circle", "triangle", "star", "cross", "ring")
LOOKS = tuple(f"{c} {s}" for c, s in itertools.product(COLOURS, SHAPES))

# action: (third person, participle), three wordings each.
ACTIONS = {
    "move left": (
        ("moves left", "goes to the left", "slides leftwards"),
        ("moving left", "going to the left", "sliding leftwards"),
    ),
    "move right": (
        ("moves right", "goes to the right", "slides rightwards"),
        ("moving right", "going to the right", "sliding rightwards"),
    ),
    "move up": (
        ("moves up", "rises", "goes upwards"),
        ("moving up", "rising", "going upwards"),
    ),
    "move down": (
        ("moves down", "sinks", "goes downwards"),
        ("moving down", "sinking", "going downwards"),
    ),
    "jump": (
        ("jumps", "hops", "bounces up and down"),
        ("jumping", "hopping", "bouncing up and down"),
    ),
    "roll": (
        ("rolls", "spins", "turns around"),
        ("rolling", "spinning", "turning around"),
    ),
    "grow": (
        ("grows", "gets bigger", "becomes larger"),
        ("growing", "getting bigger", "becoming larger"),
    ),
    "shrink": (
        ("shrinks", "gets smaller", "becomes smaller"),
        ("shrinking", "getting smaller", "becoming smaller"),
    ),
    "stand still": (
        ("stands still", "stays in place", "does not move"),
        ("standing still", "staying in place", "not moving"),
    ),
}
FORMS = (
    "the {colour} {shape} {doing}",
    "the {colour} {shape} that {does}",
    "a {colour} {shape} is {doing}",
    "a {shape} in {colour} that is {doing}",
    "{doing}: the {colour} {shape}",
    "which {colour} {shape} {does}?",
    "where is the {colour} {shape} {doing}?",
    "find the {shape} that is {colour} and {does}",
    "it {does}, the {colour} {shape}",
    "what is {doing} and looks like a {colour} {shape}?",
)


def split_of(look, action, form):
    """The only split, "train" or "test", whose sentences use this triple."""
    key = f"{look}|{action}|{form}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return "test" if share < TEST_SHARE else "train"


@functools.cache
def forms_of(split):
    """The forms that a split allows: `{(look, action): (form, ...)}`."""
    return {
        (look, action): tuple(
            form
            for form in range(len(FORMS))
            if split_of(look, action, form) == split
        )
        for look, action in itertools.product(LOOKS, ACTIONS)
    }


@functools.cache
def triples(split):
    """All triples `(look, action, form)` of a split, in a fixed order."""
    return tuple(
        (look, action, form)
        for (look, action), forms in forms_of(split).items()
        for form in forms
    )


def sentence(look, action, form, wording):
    """Words a triple.

    Args:
        look: one of `LOOKS`.
        action: a key of `ACTIONS`.
        form: index into `FORMS`.
        wording: which of the action's wordings, 0, 1 or 2.

    Returns:
        The sentence, in lower case.
    """
    colour, shape = look.split()
    does, doing = (wordings[wording] for wordings in ACTIONS[action])
    return FORMS[form].format(
        colour=colour, shape=shape, does=does, doing=doing
    )
