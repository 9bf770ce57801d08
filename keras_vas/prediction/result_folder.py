"""The folder that a segmented video leaves behind.

    OUT/overlay.mp4        the video, each sentence's mask in its colour
    OUT/masks/QUERY/FRAME.png   0 and 255, at the video's size
    OUT/masks.json         run-length masks, scores, time stamps
    OUT/contact_sheet.png  up to 12 frames

masks.json is `{"made_by", "video", "height", "width", "queries": [{"id",
"text", "folder", "colour"}], "frames": [{"number", "time_seconds", "masks":
[{"query", "score", "segmentation": {"size", "counts"}}]}], "complete"}`;
`segmentation` is COCO's run-length code, `number` counts from 1, and
`complete` is false where the program was interrupted.

Everything is written in `OUT/.unfinished` and moved at the end.
"""

import json
import pathlib
import re
import shutil

import cv2
import numpy as np
from pycocotools import mask as coco

from keras_vas.errors import UserError
from keras_vas.pictures.contact_sheet import ContactSheet, legend
from keras_vas.pictures.overlay import colours, draw
from keras_vas.video.writer import SMALLEST_WIDTH, VideoFile, add_sound

MADE_BY = "keras_vas segment"
PARTS = ("overlay.mp4", "masks", "masks.json", "contact_sheet.png")
UNFINISHED = ".unfinished"
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
        UserError: the folder holds something else.
    """

    def __init__(self, directory, video, queries, every=1, slides=None):
        self.directory = pathlib.Path(directory)
        check_directory(self.directory)
        self.frames = 0
        self.complete = True
        self.has_sound = False
        self._video, self._queries = video, list(queries)
        self._slides = slides
        self._palette = colours(len(self._queries))
        self._folders = [
            f"{i:0{len(str(len(self._queries)))}d}_{_slug(text)}".rstrip("_")
            for i, text in enumerate(self._queries, 1)
        ]
        self._fps = video.fps / every if slides is None else 1 / slides
        self._aside = self.directory / UNFINISHED
        self._start = None

    def __enter__(self):
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        for name in self._folders:
            (self._aside / "masks" / name).mkdir(parents=True)
        self._overlay = VideoFile(self._aside / "overlay.mp4", self._fps)
        self._sheet = ContactSheet(self._queries, self._palette)
        self._json = open(self._aside / "masks.json", "w", encoding="utf-8")
        self._strip = None
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None and self.frames:
                self._finish()
        finally:
            self._json.close()
            shutil.rmtree(self._aside, ignore_errors=True)
            if not any(self.directory.iterdir()):
                self.directory.rmdir()

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
        self._add_json(number, seconds, masks, scores)
        for folder, mask in zip(self._folders, masks, strict=True):
            data = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
            path = self._aside / "masks" / folder / f"{number:05d}.png"
            path.write_bytes(data.tobytes())
        width = VideoFile.width_for(image.shape[1])
        shown = draw(image, masks, self._palette, width)
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
        size = width, height
        if size == image.shape[1::-1]:
            return draw(image, masks, self._palette)
        way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
        masks = [
            cv2.resize(
                x.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
            )
            > 0
            for x in masks
        ]
        image = cv2.resize(image, size, interpolation=way)
        image = draw(image, masks, self._palette)
        right = max(0, SMALLEST_WIDTH - width)
        return cv2.copyMakeBorder(image, 0, 0, 0, right, cv2.BORDER_CONSTANT)

    def _begin(self, image):
        height, width = image.shape[:2]
        _, shown_width = VideoFile.size_for(height, width)
        self._strip = legend(
            self._queries, self._palette, max(shown_width, SMALLEST_WIDTH)
        )
        head = {
            "made_by": MADE_BY,
            "video": self._video.name,
            "height": height,
            "width": width,
            "queries": [
                {"id": i, "text": text, "folder": folder, "colour": colour}
                for i, (text, folder, colour) in enumerate(
                    zip(
                        self._queries,
                        self._folders,
                        self._palette,
                        strict=True,
                    )
                )
            ],
        }
        text = json.dumps(head, ensure_ascii=False)
        self._json.write(text.removesuffix("}") + ', "frames": [')

    def _add_json(self, number, seconds, masks, scores):
        frame = {
            "number": number,
            "time_seconds": round(seconds, 6),
            "masks": [
                {
                    "query": i,
                    "score": round(float(score), 6),
                    "segmentation": _run_lengths(mask),
                }
                for i, (mask, score) in enumerate(
                    zip(masks, scores, strict=True)
                )
            ],
        }
        self._json.write((",\n" if self.frames else "\n") + json.dumps(frame))

    def _finish(self):
        complete = json.dumps(self.complete)
        self._json.write(f'\n], "complete": {complete}}}\n')
        self._json.close()
        self._overlay.close()
        path = self._video.path
        if self._slides is None and path is not None and path.is_file():
            self.has_sound = add_sound(self._overlay.path, path)
        sheet = cv2.imencode(".png", self._sheet.image()[..., ::-1])[1]
        (self._aside / "contact_sheet.png").write_bytes(sheet.tobytes())
        for name in PARTS:
            old = self.directory / name
            if old.is_dir():
                shutil.rmtree(old)
            (self._aside / name).replace(old)


def _run_lengths(mask):
    encoded = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def check_directory(directory):
    """Raises a `UserError` unless results may be written there."""
    directory = pathlib.Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; name a folder")
    entries = list(directory.iterdir()) if directory.is_dir() else []
    others = [x.name for x in entries if x.name != UNFINISHED]
    if others and not _is_ours(directory / "masks.json"):
        raise UserError(
            f"{directory} holds something else ({sorted(others)[0]}); name a "
            "new or an empty folder"
        )


def _is_ours(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(100).startswith(f'{{"made_by": "{MADE_BY}"')
    except (OSError, UnicodeDecodeError):
        return False


def _slug(text):
    return re.sub(r"\W+", "_", text.lower()).strip("_")[:_SLUG_LENGTH]
