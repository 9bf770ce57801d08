"""Pictures with outlined instances, in COCO's format.

    SOURCE/instances.json, captions.json, images/    as cut from COCO, or
    SOURCE/annotations/instances_train2017.json, ...  COCO's own names
    SOURCE/train2017/                                 with its pictures, or
    SOURCE/instances.json, refs(unc).p                RefCOCO, +, g, and
    SOURCE/../images/mscoco/images/train2014/         its pictures

A picture whose `complete` is false has objects that nobody outlined: its
instances can be cut out, but nothing may be learned from the rest of it.
COCO's own pictures say nothing and are complete.
"""

import dataclasses
import json
import pathlib

import cv2
import numpy as np

from keras_vas.data.records.source_files import is_file_name
from keras_vas.errors import UserError
from keras_vas.video.image_file import MAX_PIXELS, read_image

_PLACES = (  # of instances, captions and pictures
    ("instances.json", "captions.json", "images"),
    (
        "annotations/instances_train2017.json",
        "annotations/captions_train2017.json",
        "train2017",
    ),
    (
        "annotations/instances_val2017.json",
        "annotations/captions_val2017.json",
        "val2017",
    ),
)
_REFER = "../images/mscoco/images/train2014"


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Instance:
    """An outlined object.

    Attributes:
        id: int, COCO's.
        category: name.
        polygons: tuple of float32 arrays (corners, 2), x and y in pixels.
    """

    id: int
    category: str
    polygons: tuple

    def mask(self, height, width):
        """Bool array (height, width)."""
        mask = np.zeros((height, width), np.uint8)
        for polygon in self.polygons:
            corners = np.rint(polygon * 16).astype(np.int32)
            cv2.fillPoly(mask, [corners], 1, cv2.LINE_8, 4)
        return mask.astype(bool)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A picture and what is outlined in it.

    Attributes:
        id: int, COCO's.
        path: str.
        height: pixels.
        width: pixels.
        complete: whether every object of the 80 categories is outlined.
        instances: tuple of `Instance`.
        unoutlined: frozenset of the annotations that have no polygon, such
            as crowds.
    """

    id: int
    path: str
    height: int
    width: int
    complete: bool
    instances: tuple
    unoutlined: frozenset

    @property
    def whole(self):
        """Whether every object is outlined by polygons."""
        return self.complete and not self.unoutlined

    def read(self):
        """uint8 RGB array (height, width, 3).

        Raises:
            UserError: the picture is missing, damaged or of another size.
        """
        try:
            image = read_image(pathlib.Path(self.path))
        except UserError as error:
            raise UserError(
                f"{error}; the annotations name it, so give --source a folder "
                "that has all pictures"
            ) from error
        if image.shape[:2] != (self.height, self.width):
            raise UserError(
                f"{self.path} is {image.shape[1]} x {image.shape[0]} pixels, "
                f"but its annotation says {self.width} x {self.height}"
            )
        return image


def place(source):
    """Where a source keeps its annotations and pictures.

    Args:
        source: folder in one of the forms above.

    Returns:
        `(instances, captions, folder)`, paths; there may be no captions.

    Raises:
        UserError: no annotations.
    """
    source = pathlib.Path(source)
    for instances, captions, folder in _PLACES:
        if (source / instances).is_file():
            pictures = source / folder
            if not pictures.is_dir() and (source / _REFER).is_dir():
                pictures = source / _REFER
            return source / instances, source / captions, pictures
    raise UserError(
        f"{source} has none of {', '.join(p[0] for p in _PLACES)}; give "
        "--source a folder in COCO's format"
    )


def read_json(path, hook=None):
    """Reads a JSON file of COCO's.

    Args:
        path: `pathlib.Path`.
        hook: what becomes of each dict, from the innermost on.

    Raises:
        UserError: it is no JSON file.
        Exception: what `hook` raises.
    """
    try:
        return json.loads(path.read_bytes(), object_hook=hook)
    except (
        OSError, RecursionError, UnicodeDecodeError, json.JSONDecodeError,
    ) as error:  # fmt: skip
        raise UserError(f"{path} is no JSON file: {error}") from error


def read(source):
    """Reads the annotations of a folder; pictures are left on disk.

    Of each annotation the outline alone is kept while the file is read.

    Args:
        source: folder in one of the forms above.

    Returns:
        List of `Picture`, by id.

    Raises:
        UserError: no annotations, damaged ones, or a picture is missing.
    """
    path, _, folder = place(source)
    try:
        data = read_json(path, _Outline.of)
        names = {c["id"]: c["name"] for c in data["categories"]}
        sizes = {image["id"]: _size(image) for image in data["images"]}
        found, unoutlined = {}, {}
        for outline in data["annotations"]:
            image = outline.image
            if image not in sizes:
                continue
            if outline.polygons:
                found.setdefault(image, []).append(
                    Instance(
                        outline.id,
                        names[outline.category],
                        tuple(
                            np.clip(x, 0.0, np.float32(sizes[image]))
                            for x in outline.polygons
                        ),
                    )
                )
            else:
                unoutlined.setdefault(image, set()).add(outline.id)
        pictures = [
            Picture(
                id=image["id"],
                path=str(folder / image["file_name"]),
                height=image["height"],
                width=image["width"],
                complete=bool(image.get("complete", True)),
                instances=tuple(found.get(image["id"], ())),
                unoutlined=frozenset(unoutlined.get(image["id"], ())),
            )
            for image in data["images"]
        ]
    except (
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise UserError(
            f"{path} is no COCO annotation file: "
            f"{type(error).__name__}: {error}"
        ) from error
    return sorted(pictures, key=lambda picture: picture.id)


def check_pictures(pictures):
    """Raises a UserError if a picture is missing; opens none."""
    folders = {pathlib.Path(picture.path).parent for picture in pictures}
    there = {
        str(path)
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
    }
    missing = [x.path for x in pictures if x.path not in there]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(pictures):,} pictures are missing, the "
            f"first: {missing[0]}; the annotations name them, so give --source "
            "a folder that has all pictures"
        )


def _size(image):
    """Width and height of a picture; a ValueError for what none can have."""
    width, height = image["width"], image["height"]
    whole = type(width) is type(height) is int and min(width, height) > 0
    if not whole or width * height > MAX_PIXELS:
        raise ValueError(f"picture {image['id']} has {width} x {height} pixels")
    if not is_file_name(image["file_name"]):
        raise ValueError(f"{image['file_name']!r} is no name of a file")
    return width, height


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Outline:
    """An annotation without what is not needed of it."""

    id: int
    image: int
    category: int
    polygons: tuple

    @classmethod
    def of(cls, item):
        """The outline of a dict that is an annotation; others stay."""
        if "segmentation" not in item:
            return item
        return cls(
            item["id"], item["image_id"], item["category_id"], _polygons(item)
        )


def _polygons(annotation):
    """Corners of an annotation; none for a crowd, run lengths or a line."""
    parts = annotation["segmentation"]
    if annotation.get("iscrowd") or not isinstance(parts, list):
        return ()
    polygons = [
        np.reshape(np.asarray(part, np.float64), (-1, 2))
        for part in parts
        if len(part) >= 6 and len(part) % 2 == 0
    ]
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError(f"annotation {annotation['id']} has no finite corners")
    return tuple(
        np.clip(polygon, -MAX_PIXELS, MAX_PIXELS).astype(np.float32)
        for polygon in polygons
    )
