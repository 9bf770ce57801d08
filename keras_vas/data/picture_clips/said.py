"""What people wrote about one object of a picture.

    SOURCE/refs(unc).p    RefCOCO, RefCOCO+ or RefCOCOg, beside instances.json:
        [{"ref_id", "ann_id", "image_id", "split",
          "sentences": [{"sent", ...}, ...]}, ...]
    SOURCE/captions.json  COCO's captions: {"annotations": [{"image_id",
        "caption"}, ...]}, or annotations/captions_train2017.json

Of the former, sentences of the split `train` are taken; where several `refs`
lie in a folder, of pictures that are `train` in each. Of captions those are
taken whose head noun, in the singular, names one single object of the picture.
A picture whose `complete` is false is not shown.
"""

import dataclasses
import pathlib
import re

from keras_vas.data import pickles
from keras_vas.data.picture_clips import coco, language
from keras_vas.data.text import class_words
from keras_vas.errors import UserError

_ARTICLES = re.compile(r"\b(?:an?|the|his|her|its|their)\b")


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Said:
    """A picture with sentences.

    Attributes:
        picture: `coco.Picture`.
        sentences: tuple of (text, number of the instance that it means).
    """

    picture: coco.Picture
    sentences: tuple


def read(source, pictures):
    """Reads what people wrote about pictures.

    Args:
        source: folder, see `coco.read`.
        pictures: list of `coco.Picture`, those of the folder.

    Returns:
        `(said, left_out)`: list of `Said` in the order of `pictures`; list of
        (reason, item), sentences that cannot be used.

    Raises:
        UserError: a file is damaged, or names an annotation that is not there.
    """
    _, captions, _ = coco.place(source)
    by_id = {picture.id: picture for picture in pictures}
    found, left_out = {}, []
    files = sorted(pathlib.Path(source).glob("refs(*).p"))
    refs = [_Refs(path) for path in files]
    elsewhere = set().union(*(x.elsewhere for x in refs))
    for each in refs:
        left_out += each.add_to(found, by_id, elsewhere)
    if captions.is_file():
        _add_captions(captions, found, by_id)
    said = [
        Said(picture, tuple(found[picture.id]))
        for picture in pictures
        if picture.id in found
    ]
    return said, left_out


class _Refs:
    """A file of RefCOCO's references, those for training.

    Args:
        path: `pathlib.Path`.

    Attributes:
        elsewhere: set of the pictures that are in another split.
    """

    def __init__(self, path):
        self._path = path
        self._refs = []
        self.elsewhere = set()
        try:
            for ref in pickles.read_plain(path):
                if ref["split"] == "train":
                    texts = [
                        " ".join(x["sent"].split()) for x in ref["sentences"]
                    ]
                    numbers = ref["ref_id"], ref["ann_id"], ref["image_id"]
                    self._refs.append((*map(int, numbers), texts))
                else:
                    self.elsewhere.add(ref["image_id"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is no list of RefCOCO's references: "
                f"{type(error).__name__}: {error}"[:300]
            ) from error

    def add_to(self, found, pictures, elsewhere):
        """Adds the sentences to `found`; returns what is left out."""
        left_out = []
        for number, annotation, image, texts in self._refs:
            picture = pictures.get(image)
            numbers = {
                x.id: i for i, x in enumerate(getattr(picture, "instances", ()))
            }
            if image in elsewhere:
                reason = "sentence about a picture of two splits"
            elif picture is None:
                reason = "sentence about a picture without annotations"
            elif not picture.complete:
                reason = "sentence about a picture that is not complete"
            elif annotation in picture.unoutlined:
                reason = "sentence about an object without polygons"
            elif annotation not in numbers:
                raise UserError(
                    f"reference {number} of {self._path} is about annotation "
                    f"{annotation}, which the instances.json beside it lacks; "
                    "both must be of the same data set"
                )
            else:
                for text in filter(None, texts):
                    _add(found, image, text, numbers[annotation])
                continue
            left_out.append((reason, f"{self._path.name}:{number}"))
        return left_out


def _add_captions(path, found, pictures):
    table = class_words.shipped()
    try:
        for caption in coco.read_json(path)["annotations"]:
            picture = pictures.get(caption["image_id"])
            text = _text(caption["caption"])
            if picture is not None and picture.whole:
                actor = _meant(picture, text, table)
                if actor is not None:
                    _add(found, picture.id, text, actor)
    except (AttributeError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} is no file of COCO's captions: "
            f"{type(error).__name__}: {error}"
        ) from error


def _meant(picture, text, table):
    """The one object of a picture that a caption is about, or `None`."""
    # A second article begins what another noun group is about.
    group = next(filter(str.strip, _ARTICLES.split(text.lower())), "")
    words = re.findall(r"[a-z]+|[^a-z\s]", group)
    head = table.head_noun(words)
    noun = " ".join(words[slice(*head)]) if head else ""
    named = [
        i
        for i, instance in enumerate(picture.instances)
        if noun in language.names_of(instance.category)
    ]
    return named[0] if len(named) == 1 else None


def _add(found, image, text, actor):
    sentences = found.setdefault(image, [])
    if (text, actor) not in sentences:
        sentences.append((text, actor))


def _text(sentence):
    return " ".join(sentence.split())
