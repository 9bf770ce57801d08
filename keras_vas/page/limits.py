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
        visits: at a time; who gives way is said in `visitors`.
        visits_of_one: of one visitor.
        idle_seconds: after which a visit ends.
        waiting_uploads: files that were sent and not yet decoded, of all
            visitors together; of one visitor there is one.
        upload_seconds: to send a file.
        stall_seconds: in which some of a file, or all of another request,
            has to come.
        head_seconds: in which the head of a request has to come.
        requests: events that wait or are worked on, at a time.
        requests_of_address: of one address.
        requests_of_one: of one visitor.
        connections: at a time.
        connections_of_one: of one address.
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
    visits_of_one: int = 6
    idle_seconds: float = 3600.0
    waiting_uploads: int = 8
    upload_seconds: float = 600.0
    stall_seconds: float = 20.0
    head_seconds: float = 10.0
    requests: int = 32
    requests_of_address: int = 16
    requests_of_one: int = 6
    connections: int = 256
    connections_of_one: int = 64
