"""Decodes one uploaded file, in a process of its own.

    python -m keras_vas.page.decoder UPLOAD FOLDER NAME LIMITS

Whatever the file makes the decoder do, the process may use so much memory
and time, and no more; the page goes on without it. LIMITS is the JSON of
`limits.Limits`. Status 0: FOLDER holds a clip. Status 2: the line on
standard output says what is wrong with the file.
"""

import json
import math
import resource
import sys

import cv2

from keras_vas.errors import UserError
from keras_vas.page import stored_clip
from keras_vas.page.limits import Limits
from keras_vas.video.reader import open_video

BAD_FILE = 2
_LARGEST_PICTURE = 64 * 2**20


def main(upload, folder, name, limits):
    """Decodes `upload` to `folder` under the limits; returns the status."""
    limits = Limits(**json.loads(limits))
    _confine(limits)
    cv2.setNumThreads(1)
    try:
        video = open_video(upload)
        frames = ((frame.time_seconds, frame.image) for frame in video)
        stored_clip.write(folder, frames, video.fps, limits)
    except UserError as error:
        print(str(error).replace(upload, name))
        return BAD_FILE
    return 0


def _confine(limits):
    for what, most in (
        (resource.RLIMIT_AS, limits.decode_megabytes * 2**20),
        # The caller's clock stops it first.
        (resource.RLIMIT_CPU, math.ceil(limits.decode_seconds) + 1),
        (resource.RLIMIT_FSIZE, _LARGEST_PICTURE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
