"""Ref-DAVIS17's layout with real sentences on the clips of ../shared.

The clips are cut from DAVIS-2016, whose masks are one a frame; where
Ref-DAVIS17 has two objects, each one's sentences become a video of their own.
"""

import collections
import json
import pathlib

import cv2
import video_trees

from keras_vas.data.records import mask_files, source_files


def write(root, shared, sequences=None, around=None):
    """Writes the tree.

    Args:
        root: folder that it is written to.
        shared: `pathlib.Path` of the folder with real data.
        sequences: names; by default all that have clips and sentences.
        around: frames before and behind the first annotated one that are
            written, or `None` for the whole clips.

    Returns:
        Dict from video to the sequence's number of objects.
    """
    root = pathlib.Path(root)
    source = shared / "data" / "a2d_sentences"
    said = collections.defaultdict(lambda: collections.defaultdict(dict))
    listed = shared / "text" / "ref_davis17_valid_SOC.json"
    for name, _, entry in json.loads(listed.read_text()):
        said[name][entry["obj_id"]][entry["exp_id"]] = entry["exp"]
    clips = source / "Release" / "clips320H"
    videos, objects = {}, {}
    for name in sequences or sorted(said):
        clip = clips / f"davis_{name}.mp4"
        if not clip.is_file():
            continue
        masks = {
            source_files.frame_number(path) - 1: path
            for path in source.glob(
                "text_annotations/a2d_annotation_with_instances/"
                f"davis_{name}/*.h5"
            )
        }
        first = min(masks)
        for number, sentences in said[name].items():
            video = name if number == "1" else f"{name}-{number}"
            frames = _write_frames(
                root / "valid" / "JPEGImages" / video,
                clip,
                range(0, 10**6)
                if around is None
                else range(max(0, first - around), first + around + 1),
            )
            for index, path in masks.items():
                if f"{index:05d}" in frames:
                    _, mask = mask_files.read_h5(path, ("instance", "reMask"))
                    mask = mask if mask.ndim == 2 else mask.any(axis=0)
                    place = root / "valid" / "Annotations" / video
                    video_trees.write_labels(
                        place / f"{index:05d}.png",
                        (mask.T > 0).astype("uint8"),
                    )
            videos[video] = (
                frames,
                {
                    key: {"exp": text, "obj_id": "1"}
                    for key, text in sentences.items()
                },
            )
            objects[video] = len(said[name])
    path = root / "meta_expressions" / "valid" / "meta_expressions.json"
    video_trees.write_list(path, videos)
    return objects


def _write_frames(folder, clip, wanted):
    folder.mkdir(parents=True)
    capture, names, index = cv2.VideoCapture(str(clip)), [], 0
    while True:
        there, frame = capture.read()
        if not there or index >= wanted.stop:
            return names
        if index in wanted:
            names.append(f"{index:05d}")
            cv2.imwrite(
                str(folder / f"{names[-1]}.jpg"),
                frame,
                [cv2.IMWRITE_JPEG_QUALITY, 95],
            )
        index += 1
