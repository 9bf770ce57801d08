"""Which videos and which sentences."""

import dataclasses
import hashlib
import os
import pathlib
import re

from keras_vas.errors import UserError
from keras_vas.video.reader import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
_SLUG_LENGTH = 60


@dataclasses.dataclass(frozen=True)
class Source:
    """A video.

    Attributes:
        name: its path below the folder, or as it is listed.
        path: absolute path, str.
    """

    name: str
    path: str

    @property
    def key(self):
        """What its result is called, without suffix: str."""
        slug = re.sub(r"\W+", "_", pathlib.PurePath(self.name).stem)
        digest = hashlib.sha256(os.fsencode(self.name)).hexdigest()
        return f"{slug[:_SLUG_LENGTH].strip('_') or 'video'}-{digest[:10]}"


def read_sentences(path):
    """The sentences of a file, one a line, each once.

    Args:
        path: of a UTF-8 text.

    Returns:
        Tuple of str.

    Raises:
        UserError: it cannot be read, or holds no sentence.
    """
    lines = _lines(path, "sentences")
    sentences = tuple(dict.fromkeys(line for _, line in lines))
    if not any(re.search(r"\w", x) for x in sentences):
        raise UserError(f"{path} holds no sentence; write one a line")
    for number, line in lines:
        if not re.search(r"\w", line):
            raise UserError(f"{path}, line {number}: {line!r} holds no word")
    return sentences


def list_videos(path):
    """The videos of a folder or of a list.

    Args:
        path: of a folder, in which and below which all files with a suffix of
            `VIDEO_SUFFIXES` and all folders of images are videos; of one such
            file; or of a text with the path of a video a line, from that
            text's folder.

    Returns:
        `(sources, refused)`: list of `Source`, ordered by name; dict of other
        names to the reason why they are left out.

    Raises:
        UserError: there is no such file or folder, or no video in it.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        found = [
            Source(str(x.relative_to(path)), str(x.resolve()))
            for x in _below(path)
        ]
    elif path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        found = [Source(path.name, str(path.resolve()))]
    else:
        folder = path.absolute().parent
        names = dict.fromkeys(name for _, name in _lines(path, "videos"))
        found = [Source(name, os.path.abspath(folder / name)) for name in names]
    if not found:
        raise UserError(f"{path} holds no video; name a folder of videos")
    sources, refused = [], {}
    for source in sorted(found, key=lambda source: source.name):
        if not source.path.isprintable():
            refused[ascii(source.name)] = "its name is no plain text; rename it"
        elif not os.path.exists(source.path):
            refused[source.name] = f"there is no video {source.path}"
        else:
            sources.append(source)
    return sources, refused


def _below(folder):
    images = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        suffix = path.suffix.lower()
        if path.is_dir():
            yield from _below(path)
        elif suffix in VIDEO_SUFFIXES:
            yield path
        elif suffix in IMAGE_SUFFIXES and not images:
            images = True
            yield folder


def _lines(path, what):
    """List of (number, text) of a file's lines that are not empty."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path} of {what}; write one a line")
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise UserError(f"{path} is no UTF-8 text; save it as UTF-8")
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}, line {number}: {line[:60]!r} is no UTF-8 text; save "
                "the file as UTF-8"
            ) from error
        if text:
            lines.append((number, text))
    return lines
