"""The sentences of moving actors, and how they are split.

A sentence is made from a triple (look, action, form). A hash of the triple
says whether it belongs to the training or to the test split, whatever the
seed of the clips: the two splits share no triple.

Group sentences mean everyone who does something, whatever the look. They are
for a first lesson in actions: a network from scratch that is asked for single
actors learns looks at once, is content with either twin, and takes very long
to notice that motion matters.
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
        ("moves left", "goes to the left", "slides left"),
        ("moving left", "going to the left", "sliding left"),
    ),
    "move right": (
        ("moves right", "goes to the right", "slides right"),
        ("moving right", "going to the right", "sliding right"),
    ),
    "move up": (
        ("moves up", "goes up", "slides up"),
        ("moving up", "going up", "sliding up"),
    ),
    "move down": (
        ("moves down", "goes down", "slides down"),
        ("moving down", "going down", "sliding down"),
    ),
    "jump": (
        ("jumps", "hops", "is jumping"),
        ("jumping", "hopping", "jumping about"),
    ),
    "roll": (
        ("rolls", "spins", "is rolling"),
        ("rolling", "spinning", "rolling about"),
    ),
    "grow": (
        ("grows", "gets bigger", "becomes bigger"),
        ("growing", "getting bigger", "becoming bigger"),
    ),
    "stand still": (
        ("stands still", "stays still", "keeps still"),
        ("standing still", "staying still", "keeping still"),
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

GROUP_FORMS = (
    "everything that is {doing}",
    "everything that {does}",
    "whatever {does}",
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


def group_sentence(action, form, wording):
    """Words a sentence that means everyone who does something.

    Args:
        action: a key of `ACTIONS`.
        form: index into `GROUP_FORMS`.
        wording: which of the action's wordings, 0, 1 or 2.

    Returns:
        The sentence, in lower case.
    """
    does, doing = (wordings[wording] for wordings in ACTIONS[action])
    return GROUP_FORMS[form].format(does=does, doing=doing)
