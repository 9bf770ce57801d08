"""Draws one clip of moving actors as pictures, and prints its sentences.

    python -m keras_vas.data.moving_actors --clip=0 --output=DIR

    DIR/00001.png ...       frames

Each drawn frame is shown twice, because a model sees every second frame of a
video: `segment.py --video=DIR` then sees the clip as it was in training.
"""

import pathlib

from absl import flags

from keras_vas import command_line, errors
from keras_vas.data.moving_actors import drawing
from keras_vas.pictures import overlay

_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the frames, which is made.", required=True
)
_CLIP = flags.DEFINE_integer(
    "clip", 0, "Number of the test clip.", lower_bound=0
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the clips, as in build_moving_actors.py.", lower_bound=0
)
_SIZE = flags.DEFINE_integer(
    "size",
    256,
    "Height and width of the frames in pixels.",
    lower_bound=drawing.SMALLEST_SIDE,
)


def main(_):
    """Draws the clip."""
    folder = pathlib.Path(_OUTPUT.value)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.UserError(f"{folder} is not empty; name a new --output")
    clip = drawing.draw_clip(
        _SEED.value, "test", _CLIP.value, height=_SIZE.value, width=_SIZE.value
    )
    folder.mkdir(parents=True, exist_ok=True)
    frames = clip.video()
    for number, frame in enumerate(frames, 1):
        overlay.write_png(folder / f"{number:05d}.png", frame)
    count = command_line.counted(len(frames), "frame")
    print(f"{count} in {folder}; sentences about them:")
    for sentence in clip.sentences:
        print(f"  {sentence.text}")


if __name__ == "__main__":
    command_line.run(main)
