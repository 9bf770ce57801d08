"""What the converters of Refer-YouTube-VOS, Ref-DAVIS17 and MeViS share."""

import functools
import tempfile

import converter
from absl import flags

from keras_vas.data import records
from keras_vas.data.records import fingerprint, source_files, video_frames
from keras_vas.data.video_sets import conversion, listed, masks, video
from keras_vas.video import image_file

DAMAGE = listed.DAMAGE | conversion.DAMAGE


def build(
    dataset, source, output, splits, *, most, workers, shards, verify=None
):
    """Writes the records of a data set.

    Args:
        dataset: key of `listed.LAYOUTS`.
        source: folder of the data set.
        output: folder for the records.
        splits: dict from a subset, "train" or "test", to the split's folder;
            one that is not there is left out.
        most: annotated frames of a video to take, evenly spaced; 0 for all.
        workers: number of processes.
        shards: number of files of a subset.
        verify: as of `records.write_dataset`.

    Returns:
        dict, the manifest.

    Raises:
        UserError: a list is missing or of another format, or there is no
            video.
    """
    title = listed.LAYOUTS[dataset].title
    source = source_files.require_folder(source, title)
    videos, subsets, excluded = {}, {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for subset, split in splits.items():
            if subset == "test" and not (source / split).is_dir():
                continue
            found, left_out = listed.read_split(source, dataset, split, scratch)
            excluded += left_out
            subsets[subset] = [x.name for x in found]
            videos |= {x.name: x for x in found}
        return records.write_dataset(
            output,
            dataset,
            subsets,
            functools.partial(
                conversion.convert, dataset=dataset, videos=videos, most=most
            ),
            workers=workers,
            verify=verify,
            shards=dict.fromkeys(subsets, shards),
            code=(image_file, listed, masks, video, video_frames),
            source_fingerprint=f"{_fingerprint(source, splits)} {most}",
            excluded=excluded,
        )


def define_flags(dataset, shards):
    """Defines the flags of such a converter."""
    converter.define_source_flags(listed.LAYOUTS[dataset].title, shards)
    flags.DEFINE_integer(
        "frames_per_video",
        8,
        "Annotated frames of a video to take, evenly spaced; 0 takes all.",
        lower_bound=0,
    )


def main(dataset, splits, published):
    """Writes the records that the flags describe, and reports.

    Args:
        dataset: as of `build`.
        splits: likewise.
        published: counts for --check.
    """
    options = flags.FLAGS
    manifest = build(
        dataset,
        options.source,
        options.output,
        splits,
        most=options.frames_per_video,
        workers=options.workers,
        shards=options.shards,
        verify=options.verify,
    )
    converter.conclude(manifest, DAMAGE, published)


def _fingerprint(source, splits):
    paths = [*source.glob("meta_expressions/*/*.json")]
    for split in splits.values():
        paths += (source / split).glob("*.json")
        paths += (source / split / "JPEGImages").glob("*/*")
        paths += (source / split / "Annotations").glob("*/*.png")
    return fingerprint.of_files(source, paths)
