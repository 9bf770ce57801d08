"""Writes anybody's own videos, masks and sentences as TFRecords.

    python tfrecords/build_frames.py --source=DIR --output=RECORDS

DIR is a folder with

    sentences.csv                   video,sentence[,object][,subset]
    videos/<video>.mp4              or videos/<video>/<frame>.jpg
    masks/<video>/<frame>.png       painted white on black, or object numbers
    masks/<video>.json              or COCO's run lengths, as of segment.py

A mask is named like its frame's image; of a video file, by the number of its
frame, counted from 1. --frames_to_paint=10 writes ten frames of each video to
DIR/to_paint/<video>/ under these names, and ends. What became no sample is
counted by reason in manifest.json and named in excluded.csv.
docs/own_data.md goes from a video to a model.
"""

import functools
import pathlib

import converter
from absl import flags

from keras_vas import command_line
from keras_vas.data import records
from keras_vas.data.records import fingerprint, source_files, video_frames
from keras_vas.data.video_sets import conversion, masks, own, video
from keras_vas.errors import UserError
from keras_vas.pictures.overlay import write_png
from keras_vas.video import image_file
from keras_vas.video.reader import image_files, open_video


def build(source, output, *, name, most, workers, shards, verify=None):
    """Writes the records of the data set in `source`; returns its manifest."""
    source = _folder(source)
    source_files.require_folder(
        source / "masks", "the masks (--frames_to_paint writes what to paint)"
    )
    subsets, sentences, excluded = own.read_sentences(source)
    videos = {}
    for video_id in sentences:
        videos.setdefault(subsets[video_id], []).append(video_id)
    return records.write_dataset(
        output,
        name,
        videos,
        functools.partial(
            conversion.convert_own,
            dataset=name,
            source=source,
            sentences=sentences,
            most=most,
        ),
        workers=workers,
        verify=verify,
        shards=dict.fromkeys(videos, shards),
        code=(image_file, masks, own, video, video_frames),
        source_fingerprint=f"{_fingerprint(source)} {name} {most}",
        excluded=excluded,
    )


def write_frames_to_paint(source, count):
    """Writes evenly spaced frames of every video to SOURCE/to_paint/.

    Args:
        source: folder of the data set.
        count: frames of a video.

    Returns:
        Number of images written.

    Raises:
        UserError: there is no video, or one cannot be read.
    """
    source = _folder(source)
    written = 0
    for path in sorted((source / "videos").iterdir()):
        if path.name.startswith("."):
            continue
        opened = open_video(path)
        total = opened.expected_frames or sum(1 for _ in opened)
        wanted = set(video_frames.evenly_spaced(range(1, total + 1), count))
        names = [x.stem for x in image_files(path)] if path.is_dir() else None
        folder = source / "to_paint" / (path.name if names else path.stem)
        for frame in opened:
            if frame.number in wanted:
                name = names[frame.number - 1] if names else frame.number
                name = name if names else f"{name:05d}"
                write_png(folder / f"{name}.png", frame.image)
                written += 1
    if not written:
        raise UserError(f"{source / 'videos'} holds no video; put some there")
    return written


def _folder(source):
    source = source_files.require_folder(source, "videos/, sentences.csv")
    source_files.require_folder(source / "videos", "videos")
    return pathlib.Path(source)


def _fingerprint(source):
    paths = [source / "sentences.csv", source / "sentences.json"]
    for pattern in ("videos/*", "videos/*/*", "masks/*", "masks/*/*"):
        paths += source.glob(pattern)
    return fingerprint.of_files(source, paths)


def main(_):
    """Writes the records and reports."""
    options = flags.FLAGS
    if options.frames_to_paint:
        count = write_frames_to_paint(options.source, options.frames_to_paint)
        print(
            f"{command_line.counted(count, 'picture')} in {options.source}/"
            "to_paint; paint what a sentence means white and all else black, "
            f"and save it under the same name in {options.source}/masks"
        )
        return
    manifest = build(
        options.source,
        options.output,
        name=options.name,
        most=options.frames_per_video,
        workers=options.workers,
        shards=options.shards,
        verify=options.verify,
    )
    converter.conclude(manifest, conversion.DAMAGE)


if __name__ == "__main__":
    converter.define_source_flags("your videos", 8, published=False)
    flags.DEFINE_string(
        "name", "frames", "Name of the data set, the first part of its keys."
    )
    flags.DEFINE_integer(
        "frames_per_video",
        0,
        "Painted frames of a video to take, evenly spaced; 0 takes all.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "frames_to_paint",
        0,
        "Write that many frames of each video as pictures to paint, and end.",
        lower_bound=0,
    )
    command_line.run(main)
