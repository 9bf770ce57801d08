r"""Asks TensorFlow Serving, or the local server, about a video.

    python -m keras_vas.serving_client --url=http://127.0.0.1:8501 \
        --video=in.mp4 --query="the dog running on the left" --output=out

writes the folder that segment.py writes; see `prediction/result_folder.py`.
--grpc=127.0.0.1:8500 asks the gRPC port instead.
"""

from keras_vas.errors import UserError
from keras_vas.serving.client.client import ServingClient, ServingError

_SLIDE_SECONDS = 1.0


def run():
    """Defines the flags and runs the program."""
    # `ServingClient` does without these, and without what `_segment` needs
    from absl import flags

    from keras_vas import command_line

    flags.DEFINE_string(
        "video", None, "Video file, or folder of frames.", required=True
    )
    flags.DEFINE_multi_string(
        "query",
        None,
        "A sentence; give the flag again for more.",
        required=True,
    )
    flags.DEFINE_string(
        "output", None, "Folder for the results.", required=True
    )
    flags.DEFINE_integer(
        "frame",
        None,
        "Number of the one frame to segment, counted from 1.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "every",
        1,
        "Distance of the segmented frames: 2 takes frames 1, 3, 5 and so on.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "model_version",
        None,
        "Number of the model's version; by default the latest.",
        lower_bound=0,
    )
    command_line.define_flags(
        ServingClient,
        without=("version",),
    )
    command_line.run(
        lambda _: _segment(
            flags.FLAGS,
            command_line.build(
                ServingClient, version=flags.FLAGS.model_version
            ),
        )
    )


def _segment(values, client):
    from keras_vas.prediction import result_folder
    from keras_vas.video.reader import open_video

    if not all(query.strip() for query in values.query):
        raise UserError("--query is empty; say whom to segment")
    result_folder.check_directory(values.output)
    video = open_video(values.video)
    states = client.status()
    if "AVAILABLE" not in states.values():
        raise ServingError(
            f"{values.grpc or values.url}: no version of {values.model} is "
            f"loaded; the server says {states}"
        )
    about = client.describe(values.query)
    print(about, flush=True)
    folder = result_folder.ResultFolder(
        values.output,
        video,
        values.query,
        every=values.every,
        slides=_SLIDE_SECONDS if values.frame else None,
    )
    with folder:
        for window in _windows(video, values.frame, values.every):
            frame = window.frame
            masks, scores = client.segment(window.clip, values.query)
            folder.add(
                frame.number,
                frame.time_seconds,
                frame.image,
                masks > about.threshold,
                scores,
            )
            shown = ", ".join(f"{score:.2f}" for score in scores)
            print(f"frame {frame.number}: score {shown}", flush=True)
        if not folder.frames:
            raise UserError(
                f"--frame={values.frame}: {values.video} has fewer frames"
            )
    print(
        f"{values.output}: overlay.mp4, masks/, masks.json, contact_sheet.png"
    )


def _windows(video, number, every):
    from keras_vas.prediction import windows

    # targets are frame 1, then `number`
    every = every if number is None else max(number - 1, 1)
    for window in windows.windows(video, lambda image: image, every=every):
        if number in (None, window.frame.number):
            yield window
        if number == window.frame.number:
            return


if __name__ == "__main__":
    run()
