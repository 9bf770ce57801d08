"""The folder that a segmented video leaves behind.

    OUT/overlay.mp4        the video, each sentence's mask in its colour
    OUT/masks/QUERY/FRAME.png   0 and 255, at the video's size
    OUT/masks.json         all masks, scores and times in COCO's format, as
                           `coco_file` describes it
    OUT/contact_sheet.png  up to 12 frames

Everything is written in a hidden folder beside OUT, which one rename puts into
place: OUT holds the whole of one result or the whole of the one before.
"""

import contextlib
import os
import pathlib
import re
import shutil

import cv2
import numpy as np

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.pictures.contact_sheet import ContactSheet, legend
from keras_vas.pictures.overlay import draw, palette_for
from keras_vas.prediction.coco_file import MADE_BY, CocoFile
from keras_vas.video.writer import SMALLEST_WIDTH, VideoFile, add_sound

PARTS = ("overlay.mp4", "masks", "masks.json", "contact_sheet.png")
_MASK_FOLDER = re.compile(r"[0-9]+(_\w*)?")
_MASK_FILE = re.compile(r"[0-9]{5,}\.png")
_SLUG_LENGTH = 40


class ResultFolder:
    """Writes the results of one video; use it in a `with` statement.

    Leaving the statement finishes the files, also those of a part of the
    video; an exception removes what was begun and leaves an earlier result
    as it was.

    Args:
        directory: folder, missing, empty, or with an earlier result, which
            is replaced.
        video: `video.Video`, for its name, its rate and its sound.
        queries: list of str.
        every: distance of the frames that will be added.
        slides: seconds that each frame is shown, where they have nothing to
            do with the video's time.

    Attributes:
        frames: how many were added.
        complete: set it to false where the video was not read to its end.
        has_sound: known after the end.

    Raises:
        UserError: the folder holds something else, cannot be replaced as a
            whole, or another process is writing to it.
    """

    def __init__(self, directory, video, queries, every=1, slides=None):
        self.directory = pathlib.Path(directory).resolve()
        check_directory(self.directory)
        self.frames = 0
        self.complete = True
        self.has_sound = False
        self._video, self._queries = video, list(queries)
        self._slides = slides
        self._palette = None
        self._folders = [
            f"{i:0{len(str(len(self._queries)))}d}_{_slug(text)}".rstrip("_")
            for i, text in enumerate(self._queries, 1)
        ]
        self._fps = video.fps / every if slides is None else 1 / slides
        name = f".{self.directory.name}{files.UNFINISHED}"
        self._aside = self.directory.with_name(name)
        self._new = self._aside / "result"
        self._old = self._aside / "replaced"
        self._start = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_aside)
            stack.enter_context(files.lock(self._aside, named=self.directory))
            stack.callback(self._clear)
            self._clear()
            check_directory(self.directory)
            for name in self._folders:
                (self._new / "masks" / name).mkdir(parents=True)
            self._overlay = VideoFile(
                self._new / "overlay.mp4",
                self._fps,
                named=self.directory / "overlay.mp4",
            )
            self._text = stack.enter_context(
                open(self._new / "masks.json", "w", encoding="utf-8")
            )
            self._strip = None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback):
        with self._stack:
            if kind is None and self.frames:
                self._finish()

    def _clear(self):
        """Ends what this or a killed process has begun and not finished."""
        if self._old.exists() and not self.directory.exists():
            self._old.rename(self.directory)
        for path in (self._old, self._new):
            if path.exists():
                shutil.rmtree(path)

    def _remove_aside(self):
        # Another process may be waiting in it.
        with contextlib.suppress(OSError):
            self._aside.rmdir()

    def add(self, number, seconds, image, masks, scores):
        """Adds what was found in one frame.

        Args:
            number: of the frame, counted from 1.
            seconds: since the start of the video.
            image: uint8 RGB `(height, width, 3)`.
            masks: bool `(queries, height, width)`.
            scores: float `(queries,)`.
        """
        if self._strip is None:
            self._begin(image)
        name = f"{number:05d}.png"
        self._json.add(number, name, seconds, masks, scores)
        for folder, mask in zip(self._folders, masks, strict=True):
            data = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
            path = self._new / "masks" / folder / name
            path.write_bytes(data.tobytes())
        shown = self._shown(image, masks)
        self._sheet.add(shown, f"{seconds:.2f} s")
        if self._slides is None:
            self._start = seconds if self._start is None else self._start
            seconds -= self._start
        else:
            seconds = self.frames * self._slides
        self._overlay.add(np.concatenate([shown, self._strip]), seconds)
        self.frames += 1

    def _shown(self, image, masks):
        """The drawn frame, at the overlay's size."""
        height, width = VideoFile.size_for(*image.shape[:2])
        image = draw(image, masks, self._palette, (height, width))
        right = max(0, SMALLEST_WIDTH - width)
        return cv2.copyMakeBorder(image, 0, 0, 0, right, cv2.BORDER_CONSTANT)

    def _begin(self, image):
        height, width = image.shape[:2]
        self._palette = palette_for(image, len(self._queries))
        self._sheet = ContactSheet(self._queries, self._palette)
        _, shown_width = VideoFile.size_for(height, width)
        self._strip = legend(
            self._queries, self._palette, max(shown_width, SMALLEST_WIDTH)
        )
        self._json = CocoFile(
            self._text,
            os.fsencode(self._video.name).decode(errors="replace"),
            [
                {"name": text, "folder": folder, "colour": colour}
                for text, folder, colour in zip(
                    self._queries, self._folders, self._palette, strict=True
                )
            ],
        )

    def _finish(self):
        self._json.close(self.complete)
        self._overlay.close()
        path = self._video.path
        if self._slides is None and path is not None and path.is_file():
            self.has_sound = add_sound(self._overlay.path, path)
        sheet = cv2.imencode(".png", self._sheet.image()[..., ::-1])[1]
        (self._new / "contact_sheet.png").write_bytes(sheet.tobytes())
        check_directory(self.directory)
        if self.directory.exists():
            self.directory.rename(self._old)
        self._new.rename(self.directory)


def check_directory(directory):
    """Raises a `UserError` unless results may be written there."""
    directory = pathlib.Path(directory).resolve()
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UserError(f"{directory} is a file; name a folder")
    if directory.samefile(".") or directory.is_mount():
        raise UserError(
            f"{directory} is the current folder or a mounted one, which cannot "
            "be replaced; name a folder in it"
        )
    other = next(_others(directory), None)
    if other is not None:
        raise UserError(
            f"{directory} holds something else ({other}); name a new or an "
            "empty folder"
        )


def _others(directory):
    """Names of what is in a folder and no part of a result."""
    names = sorted(path.name for path in directory.iterdir())
    yield from (name for name in names if name not in PARTS)
    if names and not _is_ours(directory / "masks.json"):
        yield names[0]
    masks = directory / "masks"
    if masks.is_symlink() or not masks.is_dir():
        return
    for folder in masks.iterdir():
        named = _MASK_FOLDER.fullmatch(folder.name)
        if not named or folder.is_symlink() or not folder.is_dir():
            yield f"masks/{folder.name}"
            continue
        for path in folder.iterdir():
            if not _MASK_FILE.fullmatch(path.name):
                yield f"masks/{folder.name}/{path.name}"


def _is_ours(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(100).startswith(f'{{"made_by": "{MADE_BY}"')
    except (OSError, UnicodeDecodeError):
        return False


def _slug(text):
    return re.sub(r"\W+", "_", text.lower()).strip("_")[:_SLUG_LENGTH]
