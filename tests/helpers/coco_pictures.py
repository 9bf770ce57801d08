"""Fabricated pictures in COCO's format."""

import json

import cv2
import numpy as np

HEIGHT, WIDTH = 120, 160
DOG, CAR, PERSON = 1, 2, 3


def circle(x, y, radius, corners=24):
    """Corners of a circle as COCO writes them."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points = np.stack(
        [x + radius * np.cos(angles), y + radius * np.sin(angles)]
    )
    return points.T.ravel().round(1).tolist()


def source(folder, annotations, count=6):
    """Grey pictures, each with the outlined objects of `annotations`."""
    (folder / "images").mkdir(parents=True)
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
        for i in range(count)
    ]
    for image in images:
        picture = np.full((HEIGHT, WIDTH, 3), 90 + 9 * image["id"], np.uint8)
        cv2.imwrite(str(folder / "images" / image["file_name"]), picture)
    categories = {DOG: "dog", CAR: "car", PERSON: "person"}
    whole = {
        "images": images,
        "categories": [{"id": i, "name": x} for i, x in categories.items()],
        "annotations": [
            {"id": number, "iscrowd": 0, **annotation}
            for number, annotation in enumerate(annotations)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(whole))
    return folder


def of(image, category, *parts, **more):
    """An annotation of a picture."""
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": list(parts),
        **more,
    }
