"""Opening a video file, and nothing else that it may name."""

import contextlib
import os
import threading

import cv2

from keras_vas.errors import UserError

# Containers that hold their pictures themselves. Play lists, which name other
# files or addresses, are not among them, whatever the file is called.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,"
    "asf,ogg,gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe"
)
_CONFINED = f"protocol_whitelist;file|format_whitelist;{_CONTAINERS}"
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_opening = threading.Lock()

# The same, for PyAV.
CONFINEMENT = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}


@contextlib.contextmanager
def silence():
    """OpenCV says nothing of its own on standard error in this block."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def check_name(path):
    """Raises a `UserError` for a name that OpenCV would die of."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{str(path)!a}: a video's name must be UTF-8 text; rename it"
        ) from error


def open_capture(path, *, allow_playlists=False, threads=None):
    """Opens a video file with OpenCV's FFmpeg.

    Args:
        path: `pathlib.Path`.
        allow_playlists: whether the file may be a list of other files or
            addresses, such as m3u8, whose pictures are then read.
        threads: int, threads that decode, or `None` for OpenCV's choice.

    Returns:
        `cv2.VideoCapture`; it is not open if the file cannot be read.

    Raises:
        UserError: the name of the file is no UTF-8 text.
    """
    check_name(path)
    parameters = []
    if threads is not None:
        parameters = [cv2.CAP_PROP_N_THREADS, threads]
    # FFmpeg's options come from the environment alone; it is read here.
    with _opening, silence():
        before = os.environ.get(_OPTIONS)
        if not allow_playlists:
            os.environ[_OPTIONS] = "|".join(filter(None, (before, _CONFINED)))
        try:
            # An absolute path, of which FFmpeg takes no part for a protocol.
            return cv2.VideoCapture(
                str(path.absolute()), cv2.CAP_FFMPEG, parameters
            )
        finally:
            if before is not None:
                os.environ[_OPTIONS] = before
            else:
                os.environ.pop(_OPTIONS, None)
