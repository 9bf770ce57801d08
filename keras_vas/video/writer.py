"""Writing a video frame by frame, and giving it the sound of another."""

import contextlib
import fractions
import heapq
import itertools
import pathlib

import av
import cv2
import numpy as np

from keras_vas.errors import UserError
from keras_vas.video.capture import CONFINEMENT, check_name

# H.264 with 4:2:0 colours in MP4 plays in browsers, QuickTime and Windows.
ENCODER = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "20"}
_INDEX_FIRST = {"movflags": "faststart"}
# Sound that the same players take as it is; other sound becomes AAC.
_SOUND_FOR_MP4 = ("aac", "mp3")
SMALLEST_WIDTH, _LARGEST_WIDTH, _LARGEST_HEIGHT = 320, 1280, 4096
# What is shown longer is repeated.
_LOWEST_FPS = 0.1


class VideoFile:
    """A video in the making, at a constant frame rate.

    Small pictures are enlarged by a whole number, to 320 pixels of width or
    more; large ones are scaled down to 1280.

    Args:
        path: file to write, ending in .mp4.
        fps: frames per second.
        named: what messages call the file; by default its path.
    """

    def __init__(self, path, fps, named=None):
        self.path = pathlib.Path(path)
        check_name(self.path)
        self._named = named or path
        self._fps = fractions.Fraction(max(fps, _LOWEST_FPS))
        self._fps = self._fps.limit_denominator(1000)
        self._file = None
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
        # 4:2:0 colours take even sizes only
        pad = [n % 2 for n in image.shape[:2]]
        image = cv2.copyMakeBorder(
            image, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE
        )
        if self._file is None:
            self._open(*image.shape[:2])
        number = round(seconds * self._fps)
        while self._last is not None and self._written < number:
            self._write(self._last)
        if self._written <= number:
            self._write(image)
        self._last = image

    def close(self):
        """Ends the file.

        Raises:
            UserError: it cannot be written, such as where the disk is full.
        """
        if self._file is not None:
            with self._readable_errors(), self._file:
                self._file.mux(self._stream.encode())

    def _open(self, height, width):
        self._size = f"{width} x {height} pixels"
        with self._readable_errors():
            self._file = av.open(
                str(self.path.absolute()), "w", options=_INDEX_FIRST
            )
            self._stream = self._file.add_stream(
                ENCODER, self._fps, options=_OPTIONS
            )
            self._stream.height, self._stream.width = height, width
            self._stream.pix_fmt = "yuv420p"

    def _write(self, image):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
        frame.pts = self._written
        frame.time_base = 1 / self._fps
        with self._readable_errors():
            self._file.mux(self._stream.encode(frame))
        self._written += 1

    @contextlib.contextmanager
    def _readable_errors(self):
        try:
            yield
        except av.FFmpegError as error:
            raise UserError(
                f"cannot write {self._named}, {self._size} at "
                f"{float(self._fps):g} frames per second: {error.strerror}"
            ) from error


def add_sound(path, source):
    """Gives a video the sound of another, if there is any.

    Args:
        path: video to change; it stays as it is where this fails.
        source: video file with the sound.

    Returns:
        Whether `path` has sound now.
    """
    path = pathlib.Path(path)
    mixed = path.with_name(f"{path.stem}.sound{path.suffix}")
    try:
        with (
            av.open(str(path.absolute())) as pictures,
            av.open(str(source.absolute()), options=CONFINEMENT) as other,
        ):
            if not other.streams.audio:
                return False
            with av.open(
                str(mixed.absolute()), "w", options=_INDEX_FIRST
            ) as both:
                _mix(pictures.streams.video[0], other.streams.audio[0], both)
    except av.FFmpegError:
        mixed.unlink(missing_ok=True)
        return False
    mixed.replace(path)
    return True


def _mix(pictures, sound, both):
    """Copies the pictures, and the sound until the pictures end."""
    shown = both.add_stream_from_template(pictures)
    if sound.codec.canonical_name in _SOUND_FOR_MP4:
        sounds = _copied(sound, both.add_stream_from_template(sound))
    else:
        heard = both.add_stream("aac", sound.codec_context.sample_rate)
        heard.layout = "mono" if sound.channels == 1 else "stereo"
        sounds = _encoded(sound, heard)
    end = pictures.duration * pictures.time_base
    sounds = itertools.takewhile(lambda packet: _time(packet) < end, sounds)
    for packet in heapq.merge(_copied(pictures, shown), sounds, key=_time):
        both.mux(packet)


def _time(packet):
    return packet.dts * packet.time_base


def _copied(stream, copy):
    for packet in stream.container.demux(stream):
        if packet.dts is not None:
            packet.stream = copy
            yield packet


def _encoded(sound, heard):
    for frame in sound.container.decode(sound):
        yield from heard.encode(frame)
    yield from heard.encode()
