r"""Segments many videos by sentences, on one machine or on a Ray cluster.

    python -m keras_vas.archive --model=RUN --videos=FOLDER_OR_LIST \
        --sentences=FILE.txt --output=OUT [--address=auto]
    python -m keras_vas.archive report OUT

Writes OUT/VIDEO.parquet for each video: video, span, frame, time, sentence,
score, area, box, rle. A video's file is whole or not there; the same command
again does what is missing. The second command makes OUT/report.html, a page of
the best moments. Status 1 if a video is left out; OUT/_left_out.csv says why.
"""

import contextlib
import dataclasses
import os
import sys
import time

from absl import flags

from keras_vas import command_line
from keras_vas.archive import engine, sources
from keras_vas.archive.settings import Choice, Settings, fingerprint
from keras_vas.errors import UserError
from keras_vas.prediction.options import Source

_VIDEOS = flags.DEFINE_string(
    "videos",
    None,
    "Folder of videos, also below it, or a text file with the path of a "
    "video a line.",
    required=True,
)
_SENTENCES = flags.DEFINE_string(
    "sentences", None, "UTF-8 text file with a sentence a line.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the results.", required=True
)
_ADDRESS = flags.DEFINE_string(
    "address",
    None,
    "Ray cluster: auto for the one that this machine belongs to, HOST:PORT "
    "or ray://HOST:PORT; by default this machine alone.",
)
command_line.define_flags(Source)
command_line.define_flags(Choice)
command_line.define_flags(engine.Pool)


def main(_):
    """Segments the videos that the flags name."""
    engine.check_installed()
    from keras_vas.archive.folder import LEFT_OUT, Folder

    choice = command_line.build(Choice)
    pool = command_line.build(engine.Pool)
    sentences = sources.read_sentences(_SENTENCES.value)
    videos, left_out = sources.list_videos(_VIDEOS.value)
    folder = Folder(_OUTPUT.value)
    folder.check()
    engine.connect(_ADDRESS.value)
    settings = _settings(sentences, choice)
    started, done = time.monotonic(), 0
    total = len(videos) + len(left_out)
    for name, reason in left_out.items():
        _report(name, reason)
    with folder.opened(settings):
        ended = engine.process(videos, settings, folder, pool)
        with contextlib.closing(ended):
            for source, reason in command_line.progress(
                ended, total=len(videos), desc="archive", unit="video"
            ):
                done += not reason
                if reason:
                    left_out[source.name] = reason
                    _report(source.name, reason)
        folder.end(left_out)
    seconds = time.monotonic() - started
    print(
        f"{done:,} of {command_line.counted(total, 'video')} in "
        f"{_OUTPUT.value}, after {seconds:.1f} s"
    )
    if left_out:
        raise UserError(
            f"{command_line.counted(len(left_out), 'video')} left out; "
            f"{_OUTPUT.value}/{LEFT_OUT} says why; mend them, and give the "
            "same command again"
        )


def _settings(sentences, choice):
    """Loads the model, says what it is, and lets it go again."""
    from keras_vas.prediction import predictor

    source = command_line.build(Source)
    if os.path.exists(source.model):
        path = os.path.abspath(source.model)
        source = dataclasses.replace(source, model=path)
    loaded = predictor.load(*dataclasses.astuple(source))
    print(f"{loaded.about} Computed by {loaded.runtime}.")
    for line in loaded.warnings(sentences):
        print(line, flush=True)
    if choice.threshold is None:
        choice = dataclasses.replace(choice, threshold=loaded.threshold)
    return Settings(
        source=source,
        sentences=sentences,
        choice=choice,
        fingerprint=fingerprint(source.model, loaded),
    )


def _report(name, reason):
    print(f"left out: {name}: {reason}", file=sys.stderr, flush=True)


def run():
    """Runs the program."""
    command_line.run(main)
