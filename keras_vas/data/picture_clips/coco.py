"""Pictures with outlined instances, in COCO's format.

    SOURCE/instances.json, captions.json, images/    as cut from COCO, or
    SOURCE/annotations/instances_train2017.json, ...  COCO's own names
    SOURCE/train2017/                                 with its pictures

A picture whose `complete` is false has objects that nobody outlined: its
instances can be cut out, but nothing may be learned from the rest of it.
COCO's own pictures say nothing and are complete.
"""

import collections
import dataclasses
import json
import pathlib

import cv2
import numpy as np

from keras_vas.data.records.source_files import is_file_name
from keras_vas.errors import UserError
from keras_vas.video.image_file import MAX_PIXELS, read_image

_PLACES = (
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
# Categories that COCO outlines in pieces, or with what lies on them.
_IN_PIECES = frozenset(
    ("dining table", "couch", "bed", "bench", "chair", "book", "fork", "knife",
     "spoon", "toothbrush", "tie", "skis", "baseball bat", "sink", "oven",
     "hair drier", "scissors", "remote", "bowl", "broccoli", "carrot")
)  # fmt: skip
_LEAST_AREA = 0.008  # of the picture
_LEAST_CORNERS = 10
_MARGIN = 2  # pixels from the picture's edge
_MOST_CUT = 0.1  # of a whole instance's height and width may lie at the edge
_MAIN_PART = 0.9  # of a whole instance's area in its largest piece


@dataclasses.dataclass(frozen=True)
class Instance:
    """An outlined object.

    Attributes:
        id: int, COCO's.
        category: name.
        polygons: tuple of float arrays (corners, 2), x and y in pixels.
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


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and what is outlined in it.

    Attributes:
        id: int, COCO's.
        path: str.
        height: pixels.
        width: pixels.
        complete: whether every object of the 80 categories is outlined.
        instances: tuple of `Instance`.
        crowded: whether it has crowds, which are outlined by no polygon.
    """

    id: int
    path: str
    height: int
    width: int
    complete: bool
    instances: tuple
    crowded: bool

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


def read(source):
    """Reads the annotations of a folder; pictures are left on disk.

    Args:
        source: folder in one of the forms above.

    Returns:
        List of `Picture`, by id.

    Raises:
        UserError: no annotations, or damaged ones.
    """
    source = pathlib.Path(source)
    place = next((p for p in _PLACES if (source / p[0]).is_file()), None)
    if place is None:
        raise UserError(
            f"{source} has none of {', '.join(p[0] for p in _PLACES)}; give "
            "--source a folder in COCO's format"
        )
    path, folder = source / place[0], source / place[2]
    try:
        data = json.loads(path.read_text())
        names = {c["id"]: c["name"] for c in data["categories"]}
        sizes = {image["id"]: _size(image) for image in data["images"]}
        found = collections.defaultdict(list)
        crowded = set()
        for annotation in data["annotations"]:
            if annotation["image_id"] not in sizes:
                continue
            polygons = _polygons(annotation, sizes[annotation["image_id"]])
            if polygons:
                found[annotation["image_id"]].append(
                    Instance(
                        annotation["id"],
                        names[annotation["category_id"]],
                        polygons,
                    )
                )
            else:
                crowded.add(annotation["image_id"])
        pictures = [
            Picture(
                id=image["id"],
                path=str(folder / image["file_name"]),
                height=image["height"],
                width=image["width"],
                complete=bool(image.get("complete", True)),
                instances=tuple(found[image["id"]]),
                crowded=image["id"] in crowded,
            )
            for image in data["images"]
        ]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no COCO annotation file: "
            f"{type(error).__name__}: {error}"
        ) from error
    return sorted(pictures, key=lambda picture: picture.id)


def _size(image):
    """Width and height of a picture; a ValueError for what none can have."""
    width, height = image["width"], image["height"]
    whole = type(width) is type(height) is int and min(width, height) > 0
    if not whole or width * height > MAX_PIXELS:
        raise ValueError(f"picture {image['id']} has {width} x {height} pixels")
    if not is_file_name(image["file_name"]):
        raise ValueError(f"{image['file_name']!r} is no name of a file")
    return width, height


def _polygons(annotation, size):
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
    return tuple(np.clip(polygon, 0.0, size) for polygon in polygons)


def whole_instances(picture):
    """The instances that can be cut out: large, in one piece, not cut off.

    Args:
        picture: `Picture`.

    Returns:
        List of `Instance`.
    """
    size = picture.height, picture.width
    masks = [instance.mask(*size) for instance in picture.instances]
    covered = np.sum(masks, axis=0) if masks else None
    return [
        instance
        for instance, mask in zip(picture.instances, masks, strict=True)
        if instance.category not in _IN_PIECES
        and _is_whole(instance, mask, covered)
    ]


def _is_whole(instance, mask, covered):
    height, width = mask.shape
    area = mask.sum()
    if area < _LEAST_AREA * height * width:
        return False
    if max(len(polygon) for polygon in instance.polygons) < _LEAST_CORNERS:
        return False
    edges = (mask[:_MARGIN], mask[-_MARGIN:], mask.T[:_MARGIN])
    edges = (*edges, mask.T[-_MARGIN:])
    cut = sum(int(edge.any(axis=0).sum()) for edge in edges)
    extent = int(mask.any(axis=0).sum() + mask.any(axis=1).sum())
    if cut > _MOST_CUT * extent:
        return False
    _, _, pieces, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = pieces[1:, cv2.CC_STAT_AREA].max()
    # What another instance shares with it may be in front of it.
    alone = (covered[mask] == 1).mean()
    return largest >= _MAIN_PART * area and alone > 0.85
