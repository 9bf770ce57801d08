"""Anybody's own videos, masks and sentences.

    SOURCE/sentences.csv               header: video,sentence[,object][,subset]
    SOURCE/videos/<video>.mp4          or another video file, or
    SOURCE/videos/<video>/<frame>.jpg  a folder of images
    SOURCE/masks/<video>/<frame>.png   painted white, or object numbers, or
    SOURCE/masks/<video>.json          COCO's run lengths, as segment.py's
                                       masks.json

Instead of sentences.csv, sentences.json: a list of {"video", "sentence",
"object", "subset"}. `object` is the number of what is meant, or several
("1 2", in JSON also a list), and 1 without it; `subset` is train, without it
too, or test. A mask of a video file is named by the frame's number, counted
from 1 (00012.png); that of a folder like the frame's image.
"""

from keras_vas import files
from keras_vas.data.records import schema, source_files
from keras_vas.data.video_sets.video import Sentence
from keras_vas.errors import UserError

_LISTS = ("sentences.csv", "sentences.json")
_COLUMNS = ("video", "sentence", "object", "subset")

UNSAFE_NAME = "video whose name is no file name"
MISSING_VIDEO = "video file missing"
EMPTY_SENTENCE = "sentence that is empty"
REPEATED_SENTENCE = "sentence repeated for its objects"
MASK_OF_NO_FRAME = "mask file of no frame"


def read_sentences(source):
    """Reads the list of sentences.

    Args:
        source: `pathlib.Path` of the folder.

    Returns:
        (dict from video to its subset, dict from video to a tuple of
        `Sentence`, list of (reason, item) that were left out).

    Raises:
        UserError: there is no list or there are two, or a row is wrong.
    """
    found = [source / name for name in _LISTS if (source / name).is_file()]
    if len(found) != 1:
        raise UserError(
            f"{source} must hold either {' or '.join(_LISTS)}, not "
            f"{'both' if found else 'none'}; tfrecords/README.md draws the "
            "folder"
        )
    read = _json_rows if found[0].suffix == ".json" else _csv_rows
    subsets, sentences, excluded = {}, {}, []
    for where, row in read(found[0]):
        video, text, objects, subset = _checked(where, row)
        item = f"{video}: {text}"
        if not source_files.is_file_name(video):
            excluded.append((UNSAFE_NAME, video))
            continue
        if subsets.setdefault(video, subset) != subset:
            raise UserError(f"{where}: {video} is in both subsets; keep one")
        known = sentences.setdefault(video, [])
        if not text.strip():
            excluded.append((EMPTY_SENTENCE, item))
        elif any(x.text == text and x.objects == objects for x in known):
            excluded.append((REPEATED_SENTENCE, item))
        else:
            known.append(Sentence(str(len(known)), text, objects))
    if not sentences:
        raise UserError(f"{found[0]} holds no sentence; write some")
    return subsets, {v: tuple(x) for v, x in sentences.items()}, excluded


def _checked(where, row):
    missing = [x for x in _COLUMNS[:2] if not isinstance(row.get(x), str)]
    if missing:
        raise UserError(f"{where} has no {' and no '.join(missing)}; add it")
    objects = row.get("object")
    if objects is None or objects == "":
        objects = "1"
    objects = objects if isinstance(objects, list) else str(objects).split()
    if not objects or not all(str(x).isascii() for x in objects):
        raise UserError(
            f"{where}: object {row.get('object')!r} is no number, nor some "
            "with spaces between"
        )
    subset = row.get("subset") or "train"
    if subset not in schema.SUBSETS:
        raise UserError(f"{where}: subset {subset!r} must be train or test")
    return (
        row["video"].strip(),
        row["sentence"],
        tuple(dict.fromkeys(str(x) for x in objects)),
        subset,
    )


def _csv_rows(path):
    rows = source_files.read_rows(path, "the sentences")
    header = [x.strip() for x in rows[0][1]] if rows else []
    if not set(_COLUMNS[:2]) <= set(header) <= set(_COLUMNS):
        raise UserError(
            f"{path} must begin with the names of its columns, "
            f"{','.join(_COLUMNS)} (the last two may be left out), not "
            f"{','.join(header)}"
        )
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}, has {len(row)} columns instead of "
                f"{len(header)}; a sentence with commas needs quotes"
            )
        yield f"{path}, line {line}", dict(zip(header, row, strict=True))


def _json_rows(path):
    rows = files.read_json(path, "write it as tfrecords/README.md says")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) for row in rows
    ):
        raise UserError(f"{path} must be a list of dictionaries")
    for number, row in enumerate(rows, 1):
        yield f"{path}, entry {number}", row


def source_of(source, video):
    """Path of a video's file or folder of images, or `None`.

    Args:
        source: `pathlib.Path` of the data set.
        video: its name.

    Raises:
        UserError: there are several.
    """
    folder = source / "videos"
    if (folder / video).is_dir():
        return folder / video
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and video in (path.stem, path.name)
    ]
    if len(found) > 1:
        raise UserError(
            f"{folder} holds {found[0].name} and {found[1].name}, both the "
            f"video {video}; rename one, or name it with its ending"
        )
    return found[0] if found else None
