"""The presets that the package ships."""

import dataclasses
import hashlib
import pathlib

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.presets import preset_file
from keras_vas.weights import cache as weights_cache

_FOLDER = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Preset:
    """A trained model of the package.

    Attributes:
        task: what it does.
        data: what it was trained on.
        metrics: what it reached, and on what.
        licence: of the weights, with its limits.
        knows: what it is good for, and what not.
        speed: seconds that a mask takes, and where.
        sha256: of its file.
        real: whether it is for real videos, not for drawn shapes alone.
    """

    task: str
    data: str
    metrics: str
    licence: str
    knows: str
    speed: str
    sha256: str
    real: bool

    def lines(self):
        """Its card, a list of lines of text."""
        return [
            f"{field.name}: {getattr(self, field.name)}"
            for field in dataclasses.fields(self)
            if field.name not in ("sha256", "real")
        ]


PRESETS = {
    "cstm_davis": Preset(
        task="outlines of people, animals and things in real videos, by "
        "sentences about what they are, look like and do",
        data="90 clips of 30 sequences of DAVIS-2016 with 450 sentences, and "
        "3,774 clips made of 1,386 pictures of COCO",
        metrics="on 30 test clips of 10 other sequences (894 samples): mean "
        "IoU 60.4, one actor 64.6, two side by side 59.2, the right one of "
        "two 91.8 %",
        licence="non-commercial (DAVIS: CC BY-NC 4.0; COCO's annotations: "
        "CC BY 4.0)",
        knows="32,330 words of GloVe, of which the looks of 18,883 nouns come "
        "from ImageNet's classes by WordNet; motion only as far as 30 videos "
        "and moved cut-outs show it; of two people it often takes the wrong "
        "one, and its score says little about who is absent",
        speed="0.22 on 2 CPU cores, for one sentence about a clip",
        sha256="7896f491da4d4eed600d051f8cbbcf80"
        "1ea4de822b6f5a16079083412cb411e5",
        real=True,
    ),
    "moving_actors": Preset(
        task="outlines of drawn shapes, by sentences about look and action",
        data="drawn shapes: 7,500 clips of moving_actors, as in `make demo`",
        metrics="mean IoU 80.5 on 759 test sentences, the right one of two "
        "look-alikes 92.8 %",
        licence="Apache-2.0",
        knows="64 words, 36 looks and 8 actions at 64 x 64 pixels; nothing "
        "of real videos",
        speed="0.04 on 2 CPU cores",
        sha256="1060fff3ef81371c8c5bef5d572c6dad"
        "5d526686eff0dda045f2f8b8eb20392f",
        real=False,
    ),
}


def path_of(name):
    """`pathlib.Path` of a preset's file in the package."""
    return _FOLDER / f"{name}.npz"


def run_of(model, cache=None):
    """The run directory that a name, a preset's file or a run means.

    Args:
        model: name in `PRESETS`; path of a file of `export.py
            --format=preset`; or any other path, which is returned as it is.
            A folder or file of that name comes before a preset.
        cache: folder of the cache, see `weights.cache.folder`.

    Returns:
        str or `pathlib.Path`.

    Raises:
        UserError: the file is damaged or of another version, its checksum
            differs, or the backbones cannot be had.
    """
    path = pathlib.Path(model)
    if str(model) in PRESETS and not path.exists():
        path = path_of(model)
    elif not (path.is_file() and path.suffix == preset_file.SUFFIX):
        return model
    found = digest(path)
    wanted = PRESETS.get(str(model))
    if wanted and found != wanted.sha256:
        raise UserError(
            f"the preset {model} is damaged: {path} has another checksum than "
            "the package says; install the package again"
        )
    folder = weights_cache.folder(cache) / "presets"
    run = folder / f"{path.stem}-{found[:16]}"
    if not (run / "config.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with files.lock(folder):
            if not (run / "config.json").is_file():
                preset_file.unfold(path, run, cache)
    return run


def digest(path):
    """SHA-256 of a file, in hexadecimal digits."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"cannot read the preset {path}: {error.strerror}; install the "
            "package again"
        ) from error
