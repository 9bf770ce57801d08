"""Refer-YouTube-VOS, Ref-DAVIS17 and MeViS: one list, nearly one layout.

    SOURCE/<split>/JPEGImages/<video>/<frame>.jpg
    SOURCE/<split>/Annotations/<video>/<frame>.png      object numbers, 255 void
    SOURCE/meta_expressions/<split>/meta_expressions.json

Those are Refer-YouTube-VOS (splits train, valid, test) and Ref-DAVIS17 (train,
valid) after the usual conversion. MeViS (train, valid_u, valid) has

    SOURCE/<split>/meta_expressions.json
    SOURCE/<split>/mask_dict.json      {"<anno_id>": [run length or null, ...]}

The list is {"videos": {video: {"frames": [name, ...], "expressions": {id:
{"exp": text, "obj_id": object or list of objects, "anno_id": as many}}}}}.
"""

import dataclasses
import pathlib

from keras_vas import files
from keras_vas.data.records import source_files
from keras_vas.data.video_sets.masks import ImageMasks, RunLengthMasks
from keras_vas.data.video_sets.video import Sentence, SetVideo
from keras_vas.errors import UserError
from keras_vas.video.reader import IMAGE_SUFFIXES

LIST = "meta_expressions.json"
MEVIS_MASKS = "mask_dict.json"
_ADVICE = "check the folder (its layout is in tfrecords/README.md)"

TEST_VIDEO = "video of the list that is also in the test list"
UNSAFE_NAME = "video whose id is no file name"
MISSING_VIDEO = "video without its frames"
MISSING_FRAME = "listed frame without its image"
EMPTY_SENTENCE = "sentence that is empty"
DAMAGE = frozenset({UNSAFE_NAME, MISSING_VIDEO, MISSING_FRAME})


@dataclasses.dataclass(frozen=True)
class Layout:
    """What tells the data sets apart.

    Attributes:
        title: of the data set.
        evaluated: the split that is evaluated unless told.
        list_inside: whether the list lies in the split's folder.
    """

    title: str
    evaluated: str
    list_inside: bool = False


LAYOUTS = {
    "refer_youtube_vos": Layout("Refer-YouTube-VOS", "valid"),
    "ref_davis17": Layout("Ref-DAVIS17", "valid"),
    "mevis": Layout("MeViS", "valid_u", list_inside=True),
}


def read_split(source, dataset, split, scratch):
    """Reads the list of a split, and looks whether its frames are there.

    Args:
        source: folder of the data set.
        dataset: key of `LAYOUTS`.
        split: name of a folder, such as "train" or "valid".
        scratch: folder that takes one file of masks a video where the data
            set has them all in one; it must stay while masks are read.

    Returns:
        (list of `SetVideo`, list of (reason, item) that were left out). A
        frame without its image is left out of its video.

    Raises:
        UserError: a folder or list is missing, or of another format.
    """
    layout = LAYOUTS[dataset]
    source = source_files.require_folder(source, layout.title)
    frames = source_files.require_folder(
        source / split / "JPEGImages", "a folder of frames per video"
    )
    path = _list_path(source, layout, split)
    listed = _read_list(path)
    excluded = []
    if split == "valid" and not layout.list_inside:
        test = _list_path(source, layout, "test")
        inside = set(_read_list(test)) if test.is_file() else set()
        excluded += [(TEST_VIDEO, v) for v in listed if v in inside]
        listed = {v: x for v, x in listed.items() if v not in inside}
    masks = _masks(source / split, layout, pathlib.Path(scratch))
    videos = []
    for name, entry in listed.items():
        if not source_files.is_file_name(name):
            excluded.append((UNSAFE_NAME, name))
            continue
        images = _images(frames / name)
        names = [x for x in sorted(entry["frames"]) if x in images]
        if not names:
            excluded.append((MISSING_VIDEO, name))
            continue
        excluded += [
            (MISSING_FRAME, f"{name}/{x}")
            for x in sorted(entry["frames"])
            if x not in images
        ]
        sentences, empty = _sentences(entry["expressions"], layout)
        excluded += [(EMPTY_SENTENCE, f"{name}/{x}") for x in empty]
        videos.append(
            SetVideo(
                name,
                tuple(names),
                tuple(images[x] for x in names),
                sentences,
                masks(name, entry["frames"], names, sentences),
            )
        )
    return videos, excluded


def _list_path(source, layout, split):
    if layout.list_inside:
        return source / split / LIST
    return source / "meta_expressions" / split / LIST


def _read_list(path):
    """Dict from video to {"frames": [...], "expressions": {...}}."""
    try:
        videos = files.read_json(path, _ADVICE)["videos"]
        for entry in videos.values():
            if not all(isinstance(x, str) for x in entry["frames"]):
                raise TypeError("a frame's name must be a text")
            for expression in entry["expressions"].values():
                if not isinstance(expression["exp"], str):
                    raise TypeError("exp must be a text")
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is no list of expressions ({error!r}); {_ADVICE}"
        ) from error
    return videos


def _sentences(expressions, layout):
    """(tuple of `Sentence`, list of the ids of empty ones)."""
    key = "anno_id" if layout.list_inside else "obj_id"
    sentences = []
    for name, expression in expressions.items():
        objects = expression.get(key)
        if objects is not None:
            objects = objects if isinstance(objects, list) else [objects]
            objects = tuple(dict.fromkeys(str(x) for x in objects))
        sentences.append(Sentence(name, expression["exp"], objects))
    sentences.sort(key=lambda x: (len(x.id), x.id))
    return (
        tuple(x for x in sentences if x.text.strip()),
        [x.id for x in sentences if not x.text.strip()],
    )


def _images(folder):
    """Dict from frame name to path; empty without the folder."""
    if not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    }


def _masks(folder, layout, scratch):
    """A function that gives a video's masks, or `None`."""
    if not layout.list_inside:
        annotations = folder / "Annotations"
        there = annotations.is_dir()
        return lambda name, *_: (
            ImageMasks(annotations / name) if there else None
        )
    path = folder / MEVIS_MASKS
    if not path.exists():
        return lambda *_: None
    tracks = files.read_json(path, "get the masks again")
    if not isinstance(tracks, dict):
        raise UserError(f"{path} holds no masks; get the file again")

    def write(name, listed, names, sentences):
        """Writes the masks of one video, in the order of its frames."""
        wanted = {x for sentence in sentences for x in sentence.objects or ()}
        missing = wanted - tracks.keys()
        if missing or not all(isinstance(tracks[x], list) for x in wanted):
            raise UserError(
                f"{path} has no masks {min(missing or wanted)}, which a "
                f"sentence about {name} means; get both files of one version"
            )
        places = {x: i for i, x in enumerate(listed)}
        order = [places[x] for x in names]
        own = scratch / f"{name}.json"
        content = {
            x: [track[i] if i < len(track) else None for i in order]
            for x, track in ((x, tracks[x]) for x in sorted(wanted))
        }
        files.write_json(own, content)
        return RunLengthMasks(own)

    return write
