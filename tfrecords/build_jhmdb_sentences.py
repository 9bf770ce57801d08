"""Writes J-HMDB Sentences as TFRecords.

    python tfrecords/build_jhmdb_sentences.py --source=DIR --output=RECORDS

DIR is laid out as it is distributed:

    jhmdb_annotation.txt                                 video_id,query
    Rename_Images/<action>/<video>/<frame>.png           counted from 1
    puppet_mask/<action>/<video>/puppet_mask.mat         part_mask (H, W, T)

All samples are of the subset "test": models are trained on A2D Sentences
alone. Three frames a video are taken, the middle ones of three equal parts of
the frames that have a mask, or those of --frames_list, a JSON list of [video,
image path, mask path, number of frames, sentence] as other projects publish.

A record is one annotated frame (tfrecords/README.md lists its fields). What
became no sample is counted by reason in manifest.json and named, item by
item, in excluded.csv. --check compares with the published counts.
"""

import functools
import json
import pathlib

import converter
import numpy as np
from absl import flags

from keras_vas import command_line, errors, files
from keras_vas.data import records
from keras_vas.data.records import (
    fingerprint,
    mask_files,
    mat_file,
    schema,
    source_files,
    video_frames,
)
from keras_vas.data.records.source_files import SourceError
from keras_vas.video.image_file import read_image

DATASET = "jhmdb_sentences"
FRAMES_PER_VIDEO = 3
PUBLISHED = {"test": {"videos": 928, "samples": 2784}}

EMPTY_SENTENCE = "sentence that is empty"
REPEATED_SENTENCE = "sentence repeated for its video"
UNSAFE_NAME = "video whose id is no file name"
FEW_FRAMES = "frame wanting: fewer than three have a mask"
NOT_LISTED = "video not in the frames list"
LISTED_WITHOUT_SENTENCE = "video of the frames list without a sentence"
LISTED_WITHOUT_MASK = "frame of the frames list without a mask"
MALFORMED_ROW = "annotation row without two columns"
MISSING_VIDEO = "video without images"
MISSING_MASKS = "video without a mask file"
NO_MASKED_FRAME = "video without a frame that has a mask"
UNREADABLE_MASKS = "mask file that cannot be read"
MASKS_WITHOUT_KEY = "mask file without its key part_mask"
MASKS_OF_OTHER_SHAPE = "mask file whose array is not (height, width, time)"
MASKS_OF_OTHER_SIZE = "mask file of another size than its images"
REPEATED_IMAGE = "second image for a frame"
UNDECODABLE_IMAGE = "image missing or cannot be decoded"
DAMAGE = frozenset(
    {
        MALFORMED_ROW,
        MISSING_VIDEO,
        MISSING_MASKS,
        NO_MASKED_FRAME,
        LISTED_WITHOUT_MASK,
        UNREADABLE_MASKS,
        MASKS_WITHOUT_KEY,
        MASKS_OF_OTHER_SHAPE,
        MASKS_OF_OTHER_SIZE,
        REPEATED_IMAGE,
        UNSAFE_NAME,
        UNDECODABLE_IMAGE,
    }
)

_ACTOR = "1"


def convert(video_id, split, *, source, actions, sentences, chosen):
    """Converts one video.

    Args:
        video_id: name of the video.
        split: "test".
        source: `pathlib.Path` of the data set.
        actions: dict from video id to its action.
        sentences: dict from video id to a list of texts.
        chosen: dict from video id to a list of frame numbers, or None for
            evenly spaced ones.

    Returns:
        `records.Conversion`.
    """
    if video_id not in actions:
        return records.Conversion([], [(MISSING_VIDEO, video_id)])
    place = pathlib.Path(actions[video_id], video_id)
    images, repeated = _numbered_images(source / "Rename_Images" / place)
    if not images:
        return records.Conversion([], [(MISSING_VIDEO, video_id)])
    excluded = [(REPEATED_IMAGE, f"{video_id}/{x.name}") for x in repeated]
    frames = []
    try:
        masks = read_masks(
            source / "puppet_mask" / place / "puppet_mask.mat", video_id
        )
        usable = [
            number
            for number in sorted(images)
            if number <= masks.shape[2] and masks[:, :, number - 1].any()
        ]
        if chosen is None:
            numbers = video_frames.evenly_spaced(usable, FRAMES_PER_VIDEO)
            missing = FRAMES_PER_VIDEO - len(numbers)
            excluded += [(FEW_FRAMES, video_id)] * missing
        else:
            numbers = [n for n in chosen[video_id] if n in set(usable)]
            excluded += [
                (LISTED_WITHOUT_MASK, f"{video_id}/{n:05d}")
                for n in chosen[video_id]
                if n not in numbers
            ]
        if not usable:
            raise SourceError(NO_MASKED_FRAME, video_id)
    except SourceError as error:
        return records.Conversion([], [*excluded, error.args])
    for number in numbers:
        try:
            clip_numbers = schema.clip_frame_numbers(number, max(images))
            clip = [
                _read_image(images.get(n), f"{video_id}/{n:05d}")
                for n in clip_numbers
            ]
            if any(image.shape[:2] != masks.shape[:2] for image in clip):
                raise SourceError(MASKS_OF_OTHER_SIZE, video_id)
        except SourceError as error:
            excluded.append(error.args)
            continue
        frames.append(
            schema.AnnotatedFrame(
                dataset=DATASET,
                video_id=video_id,
                subset=split,
                frame_number=number,
                clip=clip,
                clip_frame_numbers=clip_numbers,
                height=masks.shape[0],
                width=masks.shape[1],
                actors=(schema.Actor(_ACTOR, masks[:, :, number - 1] > 0),),
                queries=tuple(
                    schema.Query(text, 0) for text in sentences[video_id]
                ),
            )
        )
    return records.Conversion(frames, excluded)


def read_masks(path, video_id):
    """Reads a puppet_mask.mat.

    Args:
        path: of the file.
        video_id: name of the video, for messages.

    Returns:
        Array (height, width, time), uint8; 0 is background.

    Raises:
        SourceError: the file is missing or damaged.
    """
    if not path.is_file():
        raise SourceError(MISSING_MASKS, video_id)
    try:
        masks = mask_files.read_mat(path, "part_mask")
    except mask_files.UnreadableError as error:
        raise SourceError(UNREADABLE_MASKS, video_id) from error
    except mask_files.MissingArrayError as error:
        raise SourceError(MASKS_WITHOUT_KEY, video_id) from error
    if masks.ndim == 2:
        # MATLAB drops a last axis of one frame.
        masks = masks[:, :, np.newaxis]
    if masks.ndim != 3:
        raise SourceError(MASKS_OF_OTHER_SHAPE, video_id)
    return masks


def read_sentences(path):
    """Reads jhmdb_annotation.txt.

    Returns:
        (dict from video id to a list of distinct texts, unchanged, and list
        of (reason, item) that were excluded).

    Raises:
        UserError: the file is missing or of another format.
    """
    rows, short = source_files.read_table(
        path, ["video_id", "query"], "the sentences"
    )
    sentences = {}
    excluded = [(MALFORMED_ROW, item) for item in short]
    for video_id, text in rows:
        if not source_files.is_file_name(video_id):
            excluded.append((UNSAFE_NAME, video_id))
        elif not text.strip():
            excluded.append((EMPTY_SENTENCE, video_id))
        elif text in sentences.get(video_id, ()):
            excluded.append((REPEATED_SENTENCE, f"{video_id}: {text}"))
        else:
            sentences.setdefault(video_id, []).append(text)
    return sentences, excluded


def read_frames_list(path):
    """Reads a list of frames as other projects publish it.

    Returns:
        dict from video id to a list of distinct frame numbers, sorted.

    Raises:
        UserError: the file is missing or of another format.
    """
    frames = {}
    try:
        for entry in files.read_json(path, "check --frames_list"):
            number = int(pathlib.PurePosixPath(entry[1]).stem)
            frames.setdefault(str(entry[0]), set()).add(number)
    except (ValueError, TypeError, LookupError) as error:
        raise errors.UserError(
            f"{path} must be a JSON list of [video, image path, ...]; check "
            "--frames_list"
        ) from error
    return {video_id: sorted(numbers) for video_id, numbers in frames.items()}


def build(source, output, *, frames_list, workers, shards, verify=None):
    """Writes the records of the data set in `source`; returns its manifest."""
    source = source_files.require_folder(source, "J-HMDB Sentences")
    for name, what in (
        ("Rename_Images", "<action>/<video>/<frame>.png"),
        ("puppet_mask", "<action>/<video>/puppet_mask.mat"),
    ):
        source_files.require_folder(source / name, what)
    annotation = source / "jhmdb_annotation.txt"
    sentences, excluded = read_sentences(annotation)
    chosen = read_frames_list(frames_list) if frames_list else None
    videos = list(sentences)
    if chosen is not None:
        videos = [video_id for video_id in sentences if video_id in chosen]
        if not videos:
            raise errors.UserError(
                f"{frames_list} names no video of {annotation}"
            )
        excluded += [(NOT_LISTED, v) for v in sentences if v not in chosen]
        excluded += [
            (LISTED_WITHOUT_SENTENCE, v) for v in chosen if v not in sentences
        ]
    actions = {
        folder.name: folder.parent.name
        for folder in sorted((source / "Rename_Images").glob("*/*"))
        if folder.name in sentences
    }
    sources = [annotation]
    for video_id in videos:
        if video_id in actions:
            place = pathlib.Path(actions[video_id], video_id)
            sources.append(source / "puppet_mask" / place / "puppet_mask.mat")
            sources += (source / "Rename_Images" / place).glob("*.png")
    return records.write_dataset(
        output,
        DATASET,
        {"test": videos},
        functools.partial(
            convert,
            source=source,
            actions=actions,
            sentences=sentences,
            chosen=chosen,
        ),
        workers=workers,
        verify=verify,
        shards={"test": shards},
        code=(mask_files, mat_file, video_frames),
        source_fingerprint=fingerprint.of_files(source, sources)
        + json.dumps(chosen),
        excluded=excluded,
    )


def _numbered_images(folder):
    """Dict from frame number to path, and the paths of second ones."""
    images, repeated = {}, []
    for path in sorted(folder.glob("*.png")):
        number = source_files.frame_number(path)
        if number in images:
            repeated.append(path)
        elif number is not None:
            images[number] = path
    return images, repeated


def _read_image(path, item):
    if path is None:
        raise SourceError(UNDECODABLE_IMAGE, item)
    try:
        return read_image(path)
    except errors.UserError as error:
        raise SourceError(UNDECODABLE_IMAGE, item) from error


def main(_):
    """Writes the records and reports."""
    options = flags.FLAGS
    manifest = build(
        options.source,
        options.output,
        frames_list=options.frames_list,
        workers=options.workers,
        verify=options.verify,
        shards=options.shards,
    )
    converter.conclude(manifest, DAMAGE, PUBLISHED)


if __name__ == "__main__":
    converter.define_source_flags("J-HMDB Sentences", shards=8)
    flags.DEFINE_string(
        "frames_list",
        None,
        "JSON file that lists the frames to take, as other projects publish.",
    )
    command_line.run(main)
