"""Asks TensorFlow Serving, or the local server, about a video.

python -m keras_vas.serving_client --url=http://127.0.0.1:8501 \
        --video=in.mp4 --query="the dog running on the left" --output=out
"""

import itertools
import json
import pathlib

import numpy as np
from absl import flags

from keras_vas import command_line, files
from keras_vas.errors import UserError
from keras_vas.pictures import overlay
from keras_vas.pictures.captions import caption
from keras_vas.prediction import windows as clip_windows
from keras_vas.serving.client.client import ServingClient
from keras_vas.serving.client.rest_call import ServingError
from keras_vas.video.reader import open_video

THRESHOLD = 0.5

_COLOURS = (
    (230, 80, 50),
    (40, 120, 220),
    (50, 160, 70),
    (200, 150, 20),
    (150, 70, 190),
    (20, 160, 170),
)


def run():
    """Defines the flags and runs the program."""
    _define_flags()
    command_line.run(main)


def main(_):
    """Writes masks and overlays of the frames that the flags name."""
    values = flags.FLAGS
    queries = [query.strip() for query in values.query]
    if not all(queries):
        raise UserError("--query is empty; say whom to segment")
    output = pathlib.Path(values.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} exists; name a new or empty folder")
    windows = _windows(values.video, values.frame, values.every)
    client = ServingClient(
        values.url,
        values.model,
        values.timeout,
        values.retries,
        version=values.model_version,
    )
    states = client.status()
    if "AVAILABLE" not in states.values():
        raise ServingError(
            f"{values.url}: no version of {values.model} is loaded; the "
            f"server says {states}"
        )
    results = []
    for window in windows:
        masks, scores = client.segment(window.clip, queries)
        _write(output, window.frame, queries, masks > THRESHOLD, scores)
        results.append(
            {
                "frame": window.frame.number,
                "time_seconds": round(window.frame.time_seconds, 6),
                "scores": [round(float(score), 6) for score in scores],
            }
        )
        shown = ", ".join(f"{score:.2f}" for score in scores)
        print(f"frame {window.frame.number}: score {shown}", flush=True)
    if not results:
        raise UserError(
            f"--frame={values.frame}: {values.video} has fewer frames"
        )
    with files.atomic_path(output / "results.json") as temporary:
        document = {"queries": queries, "frames": results}
        temporary.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{output}: masks/, overlays/ and results.json")


def _windows(path, number, every):
    video = open_video(path)
    if number is None:
        return clip_windows.windows(video, lambda image: image, every=every)
    # targets are frame 1, then `number`
    windows = clip_windows.windows(
        video, lambda image: image, every=max(number - 1, 1)
    )
    return itertools.islice(
        (window for window in windows if window.frame.number == number), 1
    )


def _write(output, frame, queries, masks, scores):
    picture = frame.image
    lines = []
    for i, (query, mask) in enumerate(zip(queries, masks, strict=True)):
        colour = _COLOURS[i % len(_COLOURS)]
        name = f"{frame.number:05d}_{i + 1}.png"
        grey = np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255
        overlay.write_png(output / "masks" / name, grey)
        picture = overlay.overlay(picture, mask, colour)
        text = f"{query} ({scores[i]:.2f})"
        lines.append(caption(text, picture.shape[1], colour=colour))
    overlay.write_png(
        output / "overlays" / f"{frame.number:05d}.png",
        np.concatenate([picture, *lines]),
    )


def _define_flags():
    flags.DEFINE_string(
        "url",
        "http://127.0.0.1:8501",
        "Address of TensorFlow Serving's REST port.",
    )
    flags.DEFINE_string("model", "cstm", "Name of the model.")
    flags.DEFINE_integer(
        "model_version", None, "Version; by default the latest.", lower_bound=0
    )
    flags.DEFINE_string(
        "video", None, "Video file, or folder of frames.", required=True
    )
    flags.DEFINE_multi_string(
        "query",
        None,
        "Whom to segment; may be given several times.",
        required=True,
    )
    flags.DEFINE_string(
        "output", None, "Folder for the results.", required=True
    )
    flags.DEFINE_integer(
        "frame", None, "Only this frame, counted from 1.", lower_bound=1
    )
    flags.DEFINE_integer(
        "every", 1, "Every k-th frame, from the first.", lower_bound=1
    )
    flags.DEFINE_float(
        "timeout", 60.0, "Seconds until a request fails.", lower_bound=0.1
    )
    flags.DEFINE_integer(
        "retries",
        3,
        "Further attempts after a failed connection or a status of 503.",
        lower_bound=0,
    )


if __name__ == "__main__":
    run()
