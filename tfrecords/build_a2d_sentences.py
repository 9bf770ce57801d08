"""Writes A2D Sentences as TFRecords.

    python tfrecords/build_a2d_sentences.py --source=DIR --output=RECORDS

DIR is laid out as it is distributed:

    Release/videoset.csv              id,label,start,end,height,width,frames,
                                      annotated frames,subset (0 train, 1 test)
    Release/clips320H/<video>.mp4     or Release/CLIPS320/
    text_annotations/
        a2d_annotation.txt            video_id,instance_id,query
        a2d_missed_videos.txt         ids of videos without annotation
        a2d_annotation_with_instances/<video>/<frame>.h5     instance, reMask

A record is one annotated frame (tfrecords/README.md lists its fields); a
sample is an annotated frame and a sentence whose instance has a mask there.
What became no sample is counted by reason in manifest.json and named, item by
item, in excluded.csv. --check compares with the published counts.
"""

import functools

import converter
import numpy as np
from absl import flags

from keras_vas import command_line, errors
from keras_vas.data import records
from keras_vas.data.records import (
    fingerprint,
    mask_files,
    schema,
    source_files,
    video_frames,
)
from keras_vas.data.records.source_files import SourceError

DATASET = "a2d_sentences"
PUBLISHED = {
    "train": {"videos": 3017, "queries": 5358, "samples": 15691},
    "test": {"videos": 737, "queries": 1295, "samples": 3794},
}

MISSED_VIDEO = "video in the missed list"
UNKNOWN_VIDEO = "video not in videoset.csv"
UNSAFE_NAME = "video whose id is no file name"
WITHOUT_SENTENCE = "video without a sentence"
WITHOUT_MASKS = "video without mask files"
MALFORMED_ROW = "annotation row without three columns"
INSTANCE_NOT_A_NUMBER = "sentence whose instance id is not a number"
EMPTY_SENTENCE = "sentence that is empty"
REPEATED_SENTENCE = "sentence repeated for its instance"
INSTANCE_NOT_IN_FRAME = "sample whose instance is not in the frame"
EMPTY_MASK = "sample whose mask is empty"
REPEATED_INSTANCE = "instance that occurs twice in a frame (masks united)"
REPEATED_FRAME = "second mask file for a frame"
NO_FRAME_NUMBER = "mask file whose name is no frame number"
MISSING_VIDEO = "video file missing"
UNDECODABLE_VIDEO = "video that cannot be decoded"
SHORT_VIDEO = "annotated frame behind the end of its video"
UNREADABLE_MASKS = "mask file that cannot be read"
MASKS_WITHOUT_KEYS = "mask file without its keys instance and reMask"
MASKS_OF_OTHER_SHAPE = "mask file whose arrays do not fit together"
MASKS_OF_OTHER_SIZE = "mask file of another size than its video"
DAMAGE = frozenset(
    {
        MALFORMED_ROW,
        UNKNOWN_VIDEO,
        WITHOUT_MASKS,
        NO_FRAME_NUMBER,
        REPEATED_FRAME,
        UNSAFE_NAME,
        MISSING_VIDEO,
        UNDECODABLE_VIDEO,
        SHORT_VIDEO,
        UNREADABLE_MASKS,
        MASKS_WITHOUT_KEYS,
        MASKS_OF_OTHER_SHAPE,
        MASKS_OF_OTHER_SIZE,
    }
)

_MOST_INSTANCES = 2**31
_CLIP_FOLDERS = ("clips320H", "CLIPS320")
_SUBSETS = {"0": "train", "1": "test"}


def convert(video_id, split, *, clips, masks, sentences):
    """Converts one video.

    Args:
        video_id: name of the video.
        split: "train" or "test".
        clips: `pathlib.Path` of the folder of mp4 files.
        masks: `pathlib.Path` of the folder of folders of h5 files.
        sentences: dict from video id to a list of (instance, text).

    Returns:
        `records.Conversion`.
    """
    excluded = []
    annotated = {}
    for path in sorted((masks / video_id).glob("*.h5")):
        number = source_files.frame_number(path)
        if number is None:
            excluded.append((NO_FRAME_NUMBER, f"{video_id}/{path.name}"))
        elif number in annotated:
            excluded.append((REPEATED_FRAME, f"{video_id}/{path.name}"))
        else:
            annotated[number] = path
    if not annotated:
        return records.Conversion([], [*excluded, (WITHOUT_MASKS, video_id)])
    video = clips / f"{video_id}.mp4"
    if not video.is_file():
        return records.Conversion([], [*excluded, (MISSING_VIDEO, video_id)])
    images, size, num_frames = video_frames.decode(video, annotated)
    if not num_frames:
        excluded.append((UNDECODABLE_VIDEO, video_id))
        return records.Conversion([], excluded)
    frames = []
    for number, path in annotated.items():
        name = f"{video_id}/{path.name}"
        if number > num_frames:
            excluded.append((SHORT_VIDEO, name))
            continue
        try:
            instances, repeated = read_masks(path, name)
            if any(mask.shape != size for mask in instances.values()):
                raise SourceError(MASKS_OF_OTHER_SIZE, name)
        except SourceError as error:
            excluded.append(error.args)
            continue
        excluded += [(REPEATED_INSTANCE, f"{name}/{i}") for i in repeated]
        actors = {i: mask for i, mask in instances.items() if mask.any()}
        order = list(actors)
        queries = []
        for instance, text in sentences[video_id]:
            if instance in actors:
                queries.append(schema.Query(text, order.index(instance)))
            else:
                empty = instance in instances
                reason = EMPTY_MASK if empty else INSTANCE_NOT_IN_FRAME
                excluded.append((reason, f"{name}/{instance}: {text}"))
        if not queries:
            continue
        numbers = schema.clip_frame_numbers(number, num_frames)
        frames.append(
            schema.AnnotatedFrame(
                dataset=DATASET,
                video_id=video_id,
                subset=split,
                frame_number=number,
                clip=[images[n] for n in numbers],
                clip_frame_numbers=numbers,
                height=size[0],
                width=size[1],
                actors=tuple(
                    schema.Actor(str(i), mask) for i, mask in actors.items()
                ),
                queries=tuple(queries),
            )
        )
    return records.Conversion(frames, excluded)


def read_masks(path, item):
    """Reads the masks of one annotated frame.

    Args:
        path: of the h5 file.
        item: its name in the list of what is excluded.

    Returns:
        (dict from instance number to bool mask (height, width), list of the
        instances that occur more than once). The masks of a repeated
        instance are united.

    Raises:
        SourceError: the file is damaged.
    """
    try:
        numbers, masks = mask_files.read_h5(path, ("instance", "reMask"))
    except mask_files.UnreadableError as error:
        raise SourceError(UNREADABLE_MASKS, item) from error
    except mask_files.MissingArrayError as error:
        raise SourceError(MASKS_WITHOUT_KEYS, item) from error
    numbers = numbers.reshape(-1)
    if masks.ndim == 2:
        masks = masks[np.newaxis]
    fitting = masks.ndim == 3 and len(masks) == len(numbers)
    whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < _MOST_INSTANCES)
    if not fitting or not np.all(whole):
        raise SourceError(MASKS_OF_OTHER_SHAPE, item)
    instances, repeated = {}, []
    for number, mask in zip(numbers.astype(int).tolist(), masks, strict=True):
        # MATLAB's order: each mask is stored as (width, height).
        mask = mask.T > 0
        if number in instances:
            repeated.append(number)
            mask = mask | instances[number]
        instances[number] = mask
    return instances, repeated


def read_sentences(path):
    """Reads a2d_annotation.txt.

    Returns:
        (dict from video id to a list of distinct (instance, text), list of
        (reason, item) that were excluded). Texts are unchanged.

    Raises:
        UserError: the file is missing or of another format.
    """
    rows, short = source_files.read_table(
        path, ["video_id", "instance_id", "query"], "the sentences"
    )
    sentences = {}
    excluded = [(MALFORMED_ROW, item) for item in short]
    for video_id, instance, text in rows:
        item = f"{video_id}/{instance}: {text}"
        known = sentences.setdefault(video_id, [])
        if not instance.strip().isdecimal():
            excluded.append((INSTANCE_NOT_A_NUMBER, item))
        elif not text.strip():
            excluded.append((EMPTY_SENTENCE, item))
        elif (int(instance), text) in known:
            excluded.append((REPEATED_SENTENCE, item))
        else:
            known.append((int(instance), text))
    return sentences, excluded


def read_subsets(path):
    """Reads videoset.csv.

    Returns:
        dict from video id to "train" or "test", in the order of the file.

    Raises:
        UserError: the file is missing or of another format, or contradicts
            itself.
    """
    subsets = {}
    for line, row in source_files.read_rows(path, "the list of videos"):
        if len(row) != 9 or row[8].strip() not in _SUBSETS:
            raise errors.UserError(
                f"{path}, line {line}, must have 9 columns, the last 0 "
                "(train) or 1 (test)"
            )
        subset = _SUBSETS[row[8].strip()]
        if subsets.setdefault(row[0], subset) != subset:
            raise errors.UserError(
                f"{path}, line {line}: {row[0]} is in both subsets"
            )
    return subsets


def select(subsets, sentences, missed):
    """Chooses the videos to convert.

    Args:
        subsets: dict from video id to split, of videoset.csv.
        sentences: dict from video id to its sentences.
        missed: set of the video ids of the missed list.

    Returns:
        (dict from split to video ids, list of (reason, item) excluded).
    """
    videos = {split: [] for split in schema.SUBSETS}
    excluded = []
    for video_id in dict.fromkeys([*subsets, *sentences]):
        if video_id in missed:
            excluded.append((MISSED_VIDEO, video_id))
        elif not source_files.is_file_name(video_id):
            excluded.append((UNSAFE_NAME, video_id))
        elif video_id not in subsets:
            excluded.append((UNKNOWN_VIDEO, video_id))
        elif not sentences.get(video_id):
            excluded.append((WITHOUT_SENTENCE, video_id))
        else:
            videos[subsets[video_id]].append(video_id)
    return videos, excluded


def build(source, output, *, workers, shards, verify=None):
    """Writes the records of the data set in `source`; returns its manifest."""
    source = source_files.require_folder(source, "A2D Sentences")
    release = source_files.require_folder(
        source / "Release", "videoset.csv and the clips"
    )
    texts = source_files.require_folder(
        source / "text_annotations", "the sentences and masks"
    )
    clips = next(
        (release / n for n in _CLIP_FOLDERS if (release / n).is_dir()),
        release / _CLIP_FOLDERS[0],
    )
    source_files.require_folder(clips, "the mp4 files")
    masks = source_files.require_folder(
        texts / "a2d_annotation_with_instances", "a folder of masks per video"
    )
    subsets = read_subsets(release / "videoset.csv")
    sentences, excluded = read_sentences(texts / "a2d_annotation.txt")
    missed_path = texts / "a2d_missed_videos.txt"
    missed = set()
    if missed_path.exists():
        rows = source_files.read_rows(missed_path, "the missed videos")
        missed = {row[0].strip() for _, row in rows}
    videos, unused = select(subsets, sentences, missed)
    chosen = [video_id for ids in videos.values() for video_id in ids]
    sources = [
        release / "videoset.csv",
        texts / "a2d_annotation.txt",
        missed_path,
        *(clips / f"{video_id}.mp4" for video_id in chosen),
        *(path for v in chosen for path in (masks / v).glob("*.h5")),
    ]
    return records.write_dataset(
        output,
        DATASET,
        videos,
        functools.partial(
            convert, clips=clips, masks=masks, sentences=sentences
        ),
        workers=workers,
        verify=verify,
        shards={split: shards for split in videos},
        code=(mask_files, video_frames),
        source_fingerprint=fingerprint.of_files(source, sources),
        excluded=[*excluded, *unused],
    )


def main(_):
    """Writes the records and reports."""
    options = flags.FLAGS
    manifest = build(
        options.source,
        options.output,
        workers=options.workers,
        verify=options.verify,
        shards=options.shards,
    )
    converter.conclude(manifest, DAMAGE, PUBLISHED)


if __name__ == "__main__":
    converter.define_source_flags("A2D Sentences", shards=16)
    command_line.run(main)
