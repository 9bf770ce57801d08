"""Makes clips from pictures with outlined objects, as TFRecords.

    python tfrecords/build_pictures.py --source=COCO_FOLDER --output=RECORDS

COCO_FOLDER has instances.json and images/, or COCO's own folders
annotations/ and train2017/, or it is a folder of RefCOCO, RefCOCO+ or RefCOCOg.
Three kinds of clips are made: `cutouts`, whole objects moved over other
pictures (see keras_vas/data/picture_clips/scene.py); `stills`, the pictures
that are outlined completely, still or slowly panned and zoomed; and
`sentences`, pictures with what people wrote about one of their objects (see
keras_vas/data/picture_clips/said.py). About a tenth of the sentences are about
what is not there and have an empty mask.
"""

import functools

import converter
from absl import flags

from keras_vas import command_line
from keras_vas.data import records
from keras_vas.data.picture_clips import (
    clips,
    coco,
    collection,
    language,
    said,
    scene,
    whole,
)
from keras_vas.errors import UserError


def build(output, source, counts, *, seed, workers, shards=8):
    """Writes the records.

    Args:
        output: folder for the records.
        source: folder with the pictures.
        counts: dict from kind of clip to how many to make.
        seed: int, at least 0; another seed makes other clips.
        workers: number of processes; the records do not depend on it.
        shards: number of files.

    Returns:
        dict, the manifest.

    Raises:
        UserError: the source is damaged; nothing is written then.
    """
    pictures = collection.collect(str(source))
    coco.check_pictures(pictures.pictures)
    videos = [
        f"{kind}-{number:06d}"
        for kind, count in counts.items()
        for number in range(count)
    ]
    return records.write_dataset(
        output,
        clips.DATASET,
        {"train": videos},
        functools.partial(clips.convert, source=str(source), seed=seed),
        workers=workers,
        shards={"train": min(shards, len(videos))},
        source_fingerprint=f"{source} {seed}",
        code=(clips, coco, collection, language, said, scene, whole),
        excluded=pictures.left_out,
    )


def define_flags():
    """Defines the program's flags."""
    converter.define_flags()
    flags.DEFINE_string(
        "source", None, "Folder of pictures in COCO's format.", required=True
    )
    flags.DEFINE_integer(
        "cutouts", 3000, "Clips of moving cut-outs.", lower_bound=0
    )
    flags.DEFINE_integer(
        "stills", 300, "Clips of still pictures.", lower_bound=0
    )
    flags.DEFINE_integer(
        "sentences",
        300,
        "Clips of pictures with sentences that people wrote.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "seed", 0, "Another seed makes other clips.", lower_bound=0
    )


def _counts(pictures):
    """Clips of each kind; none where the source has nothing for a default."""
    counts = {}
    for kind in collection.KINDS:
        flag = flags.FLAGS[kind]
        counts[kind] = flag.value if pictures.count(kind) else 0
        if counts[kind] < flag.value and flag.present:
            raise UserError(pictures.lack(kind))
    return counts


def main(_):
    """Writes the records and reports."""
    options = flags.FLAGS
    manifest = build(
        options.output,
        options.source,
        _counts(collection.collect(options.source)),
        seed=options.seed,
        workers=options.workers,
    )
    converter.conclude(manifest)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
