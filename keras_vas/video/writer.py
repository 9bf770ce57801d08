"""Writing a video frame by frame, and giving it the sound of another."""

import pathlib
import shutil
import subprocess

import cv2
import numpy as np

from keras_vas.errors import UserError
from keras_vas.video.capture import FFMPEG_OPTIONS, check_name, silence

# VP9 plays in browsers, H.264 too, MPEG-4 part 2 does not.
CODECS = ("vp09", "avc1", "mp4v")
SOUND_SECONDS = 600
SMALLEST_WIDTH, _LARGEST_WIDTH, _LARGEST_HEIGHT = 320, 1280, 4096
# Encoders take no lower rate; what is shown longer is repeated.
_LOWEST_FPS = 0.1


class VideoFile:
    """A video in the making, at a constant frame rate.

    Small pictures are enlarged by a whole number, to 320 pixels of width or
    more; large ones are scaled down to 1280.

    Args:
        path: file to write, ending in .mp4.
        fps: frames per second.
        named: what messages call the file; by default its path.

    Attributes:
        codec: four-character code, known after the first frame.
    """

    def __init__(self, path, fps, named=None):
        self.path = pathlib.Path(path)
        check_name(self.path)
        self._named = named or path
        self.codec = None
        self._fps = max(fps, _LOWEST_FPS)
        self._writer = None
        self._written = 0
        self._last = None

    @staticmethod
    def width_for(width):
        """The width that a picture of `width` pixels is written with."""
        if width > _LARGEST_WIDTH:
            return _LARGEST_WIDTH
        return width * -(-SMALLEST_WIDTH // width)

    @classmethod
    def size_for(cls, height, width):
        """The size that a picture is written with: `(height, width)`."""
        wanted = cls.width_for(width)
        size = max(1, round(height * wanted / width)), wanted
        if size[0] <= _LARGEST_HEIGHT:
            return size
        return _LARGEST_HEIGHT, max(1, round(width * _LARGEST_HEIGHT / height))

    def add(self, image, seconds):
        """Adds a picture that is shown from `seconds` on.

        The picture before it is repeated until then; a picture that comes
        within the same frame as the one before is left out.

        Args:
            image: uint8 RGB `(height, width, 3)`, of about `size_for` pixels.
            seconds: since the start of the video.
        """
        # encoders take even sizes only
        pad = [n % 2 for n in image.shape[:2]]
        image = cv2.copyMakeBorder(
            image, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE
        )
        if self._writer is None:
            self._open(image.shape)
        number = round(seconds * self._fps)
        while self._last is not None and self._written < number:
            self._write(self._last)
        if self._written <= number:
            self._write(image)
        self._last = image

    def close(self):
        """Ends the file and reads how many frames it has.

        Raises:
            UserError: fewer than were written: OpenCV does not say when the
                disk is full.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        with silence():
            written = cv2.VideoCapture(str(self.path))
            found = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
            written.release()
        if found != self._written:
            raise UserError(
                f"cannot write {self._named}: {max(found, 0)} of "
                f"{self._written} frames were written; is there space on the "
                "disk?"
            )

    def _write(self, image):
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))
        self._written += 1

    def _open(self, shape):
        with silence():
            for codec in CODECS:
                writer = cv2.VideoWriter(
                    str(self.path),
                    cv2.VideoWriter_fourcc(*codec),
                    float(self._fps),
                    (shape[1], shape[0]),
                )
                if writer.isOpened():
                    self._writer, self.codec = writer, codec
                    return
        raise UserError(
            f"cannot write {self._named}: OpenCV has no encoder for "
            f"{shape[1]} x {shape[0]} pixels at {self._fps:g} frames per "
            "second; if it has none at all, install the opencv-python-headless "
            "wheel from PyPI"
        )


def add_sound(path, source):
    """Gives a video the sound of another, if there is any and `ffmpeg`.

    Args:
        path: video to change; it stays as it is where this fails.
        source: video file with the sound.

    Returns:
        Whether `path` has sound now.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return False
    path = pathlib.Path(path)
    mixed = path.with_name(f"{path.stem}.sound{path.suffix}")
    for sound_codec in ("copy", "aac"):
        command = [
            ffmpeg, "-nostdin", "-v", "error", "-y",
            "-i", str(path.absolute()),
            *FFMPEG_OPTIONS, "-i", str(source.absolute()),
            "-map", "0:v", "-map", "1:a", "-c:v", "copy",
            "-c:a", sound_codec, "-shortest", str(mixed.absolute()),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=SOUND_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired):
            break
        if done.returncode == 0 and mixed.stat().st_size:
            mixed.replace(path)
            return True
    mixed.unlink(missing_ok=True)
    return False
