"""What one visitor of the page may ask for."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of uploads, of what is kept of them, and of requests.

    Attributes:
        megabytes: of an uploaded file.
        seconds: of a video; what comes later is not read.
        frames: of a video; what comes later is not read.
        side: longer side of the frames in pixels; larger ones are scaled
            down.
        stored_megabytes: of the decoded frames of one video.
        decode_seconds: to decode a video.
        decode_megabytes: of memory, to decode a video.
        sentences: about one video.
        letters: of a sentence.
        visits: at a time; the one that was idle longest has to go.
        idle_seconds: after which a visit ends.
        waiting_uploads: files that were sent and not yet decoded, of all
            visitors together.
        upload_seconds: to send a file.
    """

    megabytes: int = 100
    seconds: float = 20.0
    frames: int = 600
    side: int = 960
    stored_megabytes: int = 300
    decode_seconds: int = 60
    decode_megabytes: int = 2048
    sentences: int = 6
    letters: int = 200
    visits: int = 32
    idle_seconds: float = 3600.0
    waiting_uploads: int = 8
    upload_seconds: float = 600.0
