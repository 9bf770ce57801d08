"""The forms of a verb whose -ing form is known: playing, play, plays."""

import re

_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")  # bak-, rid-, us-
_DOUBLED = re.compile(r".*[aeiou]([bdgklmnprt])\1")  # runn-, swimm-


def stem(word, known):
    """The verb of an -ing form, as English spells it.

    Args:
        word: lower-case str.
        known: callable from a str to whether it is a word.

    Returns:
        The verb, or `word` itself where it is no -ing form of a known verb.
    """
    rest = word.removesuffix("ing")
    if rest == word or not re.search("[aeiouy]", rest):
        return word
    options = [rest, rest + "e"]
    if _SHORT.fullmatch(rest):
        options.reverse()
    if _DOUBLED.fullmatch(rest):
        options.insert(0, rest[:-1])
    return next(filter(known, options), word)


def forms(word, known):
    """The forms of a word that are known.

    Args:
        word: lower-case str, such as "playing" or "cricket".
        known: callable from a str to whether it is a word.

    Returns:
        List of distinct str, such as `["playing", "play", "plays"]`; a word
        that is no -ing form is one itself.
    """
    verb = stem(word, known)
    if verb == word:
        return [word] if known(word) else []
    endings = ("es", "s") if re.search("(s|x|z|ch|sh|o)$", verb) else ("s",)
    made = [word, verb, *(verb + ending for ending in endings)]
    return [x for x in dict.fromkeys(made) if known(x)]
