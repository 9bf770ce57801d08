"""Masks of a video as one file in COCO's format.

`pycocotools.coco.COCO` opens it. An image is a frame, a category a sentence,
and every image has one annotation of each category:

    {"made_by", "info": {"description", "video", "version"},
     "categories": [{"id", "name", "folder", "colour"}],
     "annotations": [{"id", "image_id", "category_id", "iscrowd", "score",
                      "area", "bbox", "segmentation": {"size", "counts"}}],
     "images": [{"id", "file_name", "height", "width", "time_seconds"}],
     "complete"}

An image's id is the number of its frame, counted from 1; a category's, that of
its sentence. `file_name` is that of the masks in masks/FOLDER/.
"""

import itertools
import json

import numpy as np
from pycocotools import mask as coco

from keras_vas import __version__

MADE_BY = "keras_vas segment"


class CocoFile:
    """Writes annotations as they come; all else is written at the end.

    Args:
        file: text file, open for writing.
        video: name of the video.
        categories: list of dicts with "name", "folder" and "colour".
    """

    def __init__(self, file, video, categories):
        self._file = file
        self._images = []
        self._ids = itertools.count(1)
        head = {
            "made_by": MADE_BY,
            "info": {
                "description": "Pixels of the actors that sentences mean.",
                "video": video,
                "version": __version__,
            },
            "categories": [
                {"id": i, **category}
                for i, category in enumerate(categories, 1)
            ],
        }
        text = json.dumps(head, ensure_ascii=False)
        self._file.write(text.removesuffix("}") + ', "annotations": [')

    def add(self, number, file_name, seconds, masks, scores):
        """Adds a frame.

        Args:
            number: of the frame, counted from 1.
            file_name: of its masks.
            seconds: since the start of the video.
            masks: bool `(categories, height, width)`.
            scores: float `(categories,)`.
        """
        for category, (mask, score) in enumerate(
            zip(masks, scores, strict=True), 1
        ):
            annotation = {
                "id": next(self._ids),
                "image_id": number,
                "category_id": category,
                "iscrowd": 0,
                **described(mask, score),
            }
            separator = "\n" if annotation["id"] == 1 else ",\n"
            self._file.write(separator + json.dumps(annotation))
        self._images.append(
            {
                "id": number,
                "file_name": file_name,
                "height": masks[0].shape[0],
                "width": masks[0].shape[1],
                "time_seconds": round(seconds, 6),
            }
        )

    def close(self, complete):
        """Writes the images and whether the whole video was read."""
        rest = json.dumps({"images": self._images, "complete": complete})
        self._file.write("\n], " + rest.removeprefix("{") + "\n")
        self._file.close()


def described(mask, score):
    """What an annotation says of a mask.

    Args:
        mask: bool `(height, width)`.
        score: float.

    Returns:
        Dict with "score", "area" in pixels, "bbox" (x, y, width, height) and
        "segmentation", the run lengths.
    """
    encoded = coco.encode(np.asfortranarray(mask, np.uint8))
    return {
        "score": round(float(score), 6),
        "area": int(coco.area(encoded)),
        "bbox": coco.toBbox(encoded).tolist(),
        "segmentation": {
            "size": encoded["size"],
            "counts": encoded["counts"].decode(),
        },
    }
