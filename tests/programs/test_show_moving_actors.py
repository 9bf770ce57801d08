"""The right and the wrong answer that the demo ends with."""

import re
import subprocess
import sys

import cv2
import numpy as np

from keras_vas.programs.show_moving_actors import Answer
from keras_vas.video.reader import open_video


def answer(masks, iou=0.9):
    frames = np.zeros((len(masks), 4, 4, 3), np.uint8)
    return Answer("a star", frames, np.array(masks, bool), iou)


def test_an_answer_is_steady_where_its_masks_are_of_one_size():
    whole, half = np.ones((4, 4)), np.eye(4) + np.eye(4)[::-1]
    assert answer([whole, whole]).steadiness == 1
    assert answer([whole, half]).steadiness == 0.5
    assert answer([whole, 0 * whole]).steadiness == 0
    assert answer([0 * whole]).steadiness == 0
    assert answer([whole]).label == "right, IoU 0.90 at frame 5: a star"
    assert answer([whole], 0.4).label.startswith("wrong, IoU 0.40")


def test_a_right_and_a_wrong_answer_are_shown_slowly(repository, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "keras_vas.programs.show_moving_actors",
         "--model=moving_actors", f"--output={tmp_path / 'shown'}",
         "--clips=4"],
        cwd=repository,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    right, total = map(int, re.match(r"(\d+) of (\d+)", done.stdout).groups())
    assert total >= 4
    assert right > total / 2
    for name in ("right", "wrong"):
        video = open_video(tmp_path / "shown" / f"{name}.mp4")
        assert video.fps <= 15
        assert len(list(video)) == 24
    shown = cv2.imread(str(tmp_path / "shown" / "shown.png"))
    assert shown.shape[1] == 8 * 256
