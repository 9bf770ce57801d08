r"""Segments a video by sentences.

    python segment.py --model=RUN --video=in.mp4 \
        --query="the dog on the left" --query="a woman in red" --output=OUT

RUN is a preset such as cstm_davis, a run directory of train.py, a .keras file,
or a SavedModel or OpenVINO folder of export.py. Writes OUT/overlay.mp4,
OUT/masks/, OUT/masks.json and OUT/contact_sheet.png. Ctrl-C ends early and
keeps what was done; the status is 130 then.
"""

import contextlib
import dataclasses
import signal
import sys
import time

from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError
from keras_vas.prediction import result_folder
from keras_vas.prediction.options import Options, Source
from keras_vas.video.reader import open_video

_VIDEO = flags.DEFINE_string(
    "video",
    None,
    "Video file, folder of images, GIF, or number of a camera.",
    required=True,
)
_QUERY = flags.DEFINE_multi_string(
    "query", None, "A sentence; give the flag again for more.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the results.", required=True
)
_THRESHOLD = flags.DEFINE_float(
    "threshold",
    None,
    "Probability above which a pixel belongs to the actor; by default the "
    "model's own.",
    lower_bound=0,
    upper_bound=1,
)
_ALLOW_PLAYLISTS = flags.DEFINE_bool(
    "allow_playlists",
    False,
    "Also take --video that is a list of other files or addresses, such as "
    "m3u8; only for lists of somebody trusted.",
)
command_line.define_flags(Source)
command_line.define_flags(Options)
_SLIDE_SECONDS = 1.0
_MANY_MISSING = 0.9


def main(_):
    """Segments the video that the flags name."""
    result_folder.check_directory(_OUTPUT.value)
    options = command_line.build(Options)
    _check_texts(_QUERY.value)
    video = open_video(_VIDEO.value, allow_playlists=_ALLOW_PLAYLISTS.value)
    # TensorFlow takes its time; what can be wrong before it is said first.
    from keras_vas.prediction import predictor as prediction_predictor

    predictor = prediction_predictor.load(
        *dataclasses.astuple(command_line.build(Source))
    )
    threshold = _THRESHOLD.value
    if threshold is None:
        threshold = predictor.threshold
    print(f"{predictor.about} Computed by {predictor.runtime}.")
    for line in predictor.warnings(_QUERY.value):
        print(line)
    stream = predictor.stream(
        video,
        _QUERY.value,
        **dataclasses.asdict(options),
    )
    folder = result_folder.ResultFolder(
        _OUTPUT.value,
        video,
        _QUERY.value,
        every=options.every,
        slides=_SLIDE_SECONDS if options.times else None,
    )
    started = time.monotonic()
    with folder, interruption() as interrupted:
        for found in command_line.progress(
            stream,
            total=_total(video, options),
            desc="segment",
            unit="frame",
        ):
            folder.add(
                found.number,
                found.time_seconds,
                found.frame,
                found.probabilities > threshold,
                found.scores,
            )
            last = found
            if interrupted:
                folder.complete = False
                break
    seconds = time.monotonic() - started
    if interrupted:
        print(
            "interrupted: the first "
            f"{command_line.counted(folder.frames, 'frame')} done, kept in "
            f"{_OUTPUT.value}",
            file=sys.stderr,
        )
        return 130
    _warn_of_missing_frames(video, last.number, options)
    sound = ", with sound" if folder.has_sound else ""
    print(
        f"{command_line.counted(folder.frames, 'frame')} in {seconds:.1f} s "
        f"({folder.frames / seconds:.1f} frames/s); written to "
        f"{_OUTPUT.value}: overlay.mp4{sound}, masks/, masks.json, "
        "contact_sheet.png"
    )
    return 0


@contextlib.contextmanager
def interruption():
    """Yields a list that is empty until ctrl-C; the second one raises."""
    seen = []

    def note(number, frame):
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _check_texts(texts):
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"--query={text!a} is no UTF-8 text") from error


def _total(video, options):
    if options.times:
        return len(options.times)
    if video.expected_frames is None:
        return None
    return -(-video.expected_frames // options.every)


def _warn_of_missing_frames(video, last, options):
    expected = video.expected_frames
    if (
        options.times is None
        and expected
        and last + options.every <= (_MANY_MISSING * expected)
    ):
        print(
            f"warning: {video.name} says that it has {expected} frames; only "
            f"the first {last} or so could be read"
        )


def run():
    """Runs the program."""
    command_line.run(main)


if __name__ == "__main__":
    run()
