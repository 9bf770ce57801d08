"""Small data sets of videos in the layouts of the published ones."""

import json
import pathlib

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

HEIGHT, WIDTH, FRAMES = 40, 64, 12
SQUARE = 12
PALETTE = [x for i in range(256) for x in (i, 255 - i, 128)]


def object_masks(index, shift=0):
    """Masks of the objects 1 and 2 in a frame; 2 is gone in the first two."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    x = index + shift
    masks[0, 4 : 4 + SQUARE, x : x + SQUARE] = True
    if index > 1:
        masks[1, 22 : 22 + SQUARE, 40 - x : 40 - x + SQUARE] = True
    return masks


def image(index):
    """A bright square, 1, and a dark one, 2, on grey noise."""
    rng = np.random.default_rng(index)
    picture = rng.integers(90, 110, (HEIGHT, WIDTH, 3), np.uint8)
    for mask, value in zip(object_masks(index), (250, 10), strict=True):
        picture[mask] = value
    return picture


def labels(index, void=False):
    """uint8 `(height, width)` of object numbers; a row of 255 if asked."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, mask in enumerate(object_masks(index), 1):
        found[mask] = number
    if void:
        found[0] = 255
    return found


def write_frames(folder, names):
    """Writes images under some names."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / f"{name}.jpg"), image(index)[..., ::-1])


def write_labels(path, numbers):
    """Writes a PNG with a palette whose colours are not the numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette(PALETTE)
    picture.save(path)


def run_lengths(mask):
    """COCO's run lengths of a mask, as JSON holds them."""
    packed = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": packed["size"], "counts": packed["counts"].decode()}


def write_list(path, videos):
    """Writes meta_expressions.json.

    Args:
        path: of the file.
        videos: dict from video to (frame names, dict from the id of an
            expression to its fields).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        name: {"frames": list(frames), "expressions": expressions}
        for name, (frames, expressions) in videos.items()
    }
    path.write_text(json.dumps({"videos": content}), encoding="utf-8")


def names(count=FRAMES, step=1):
    """Names of frames, as the data sets have them."""
    return [f"{step * i:05d}" for i in range(count)]


def davis_expressions(objects=(1, 2), annotators=4):
    """Four expressions an object, in the order of the conversion."""
    words = {1: "the bright square", 2: "the dark square"}
    return {
        str(annotators * i + k): {
            "exp": words[number] if k < 2 else f"{words[number]} {k}",
            "obj_id": str(number),
        }
        for i, number in enumerate(objects)
        for k in range(annotators)
    }


def write_davis(root, videos=("goat", "parkour"), split="valid", count=FRAMES):
    """Writes Ref-DAVIS17: two objects, void in the first video's masks."""
    root = pathlib.Path(root)
    for video in videos:
        write_frames(root / split / "JPEGImages" / video, names(count))
        for index, name in enumerate(names(count)):
            write_labels(
                root / split / "Annotations" / video / f"{name}.png",
                labels(index, void=video == videos[0]),
            )
    write_list(
        root / "meta_expressions" / split / "meta_expressions.json",
        {v: (names(count), davis_expressions()) for v in videos},
    )
    return root


def write_mevis(root, split="valid_u", video="0ab4", with_masks=True):
    """Writes MeViS: a single, a group, and nobody; 2 begins with null."""
    root = pathlib.Path(root)
    write_frames(root / split / "JPEGImages" / video, names())
    means = {"0": [7], "1": [7, 9], "2": []}
    texts = ("the bright square", "both squares", "the flying square")
    write_list(
        root / split / "meta_expressions.json",
        {
            video: (
                names(),
                {
                    key: {"exp": text, "obj_id": means[key], "anno_id": x}
                    if with_masks
                    else {"exp": text}
                    for (key, x), text in zip(means.items(), texts, strict=True)
                },
            )
        },
    )
    if with_masks:
        tracks = {"7": [], "9": []}
        for index in range(FRAMES):
            for track, mask in zip(
                tracks.values(), object_masks(index), strict=True
            ):
                track.append(run_lengths(mask) if mask.any() else None)
        (root / split / "mask_dict.json").write_text(json.dumps(tracks))
    return root
