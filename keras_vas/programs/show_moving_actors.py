"""Shows a drawn clip that a model gets right, and one that it gets wrong.

    python -m keras_vas.programs.show_moving_actors --model=RUN --output=OUT

Draws clips that no data set holds, asks for every actor, and writes of the
best and of the worst answer OUT/right.mp4 and OUT/wrong.mp4, slow and three
times over, and both beside each other as OUT/shown.png.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from keras_vas import command_line, metrics
from keras_vas.data.moving_actors import drawing
from keras_vas.data.records import schema
from keras_vas.pictures import overlay, panels
from keras_vas.pictures.captions import caption

_MODEL = flags.DEFINE_string(
    "model", None, "Preset, run directory or .keras file.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the pictures.", required=True
)
_CLIPS = flags.DEFINE_integer(
    "clips", 12, "Clips that are drawn and tried.", lower_bound=1
)
_SEED = flags.DEFINE_integer(
    "seed", 1, "Seed of the clips; that of the data sets is 0.", lower_bound=0
)
_SIDE = 256
_FPS = 5
_TIMES = 3
_RIGHT = 0.5


@dataclasses.dataclass
class Answer:
    """What a model marked for a sentence about a clip.

    Attributes:
        text: the sentence.
        frames: uint8 `(8, height, width, 3)`.
        masks: bool `(8, height, width)`.
        iou: with the truth, at the target frame.
    """

    text: str
    frames: np.ndarray
    masks: np.ndarray
    iou: float

    @property
    def steadiness(self):
        """The smallest mask's share of the largest; 0 where one is empty."""
        areas = self.masks.sum((1, 2))
        return areas.min() / max(areas.max(), 1)

    @property
    def label(self):
        """What is written below the pictures."""
        verdict = "right" if self.iou >= _RIGHT else "wrong"
        return (
            f"{verdict}, IoU {self.iou:.2f} at frame "
            f"{schema.TARGET_INDEX + 1}: {self.text}"
        )


def main(_):
    """Finds the two answers and draws them."""
    # TensorFlow takes its time; a wrong flag is said first.
    from keras_vas.prediction import predictor

    model = predictor.load(_MODEL.value)
    answers = []
    for number in range(_CLIPS.value):
        clip = drawing.draw_clip(
            _SEED.value, "test", number, height=_SIDE, width=_SIDE
        )
        answers += _ask(model, clip)
    best = max(answers, key=lambda x: x.iou * x.steadiness)
    worst = min(answers, key=lambda x: (x.iou, -x.steadiness))
    folder = pathlib.Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    for name, answer in (("right", best), ("wrong", worst)):
        panels.write_overlay_video(
            folder / f"{name}.mp4",
            list(answer.frames) * _TIMES,
            list(answer.masks) * _TIMES,
            answer.label,
            _FPS,
        )
    overlay.write_png(
        folder / "shown.png", np.concatenate([_row(best), _row(worst)])
    )
    right = sum(answer.iou >= _RIGHT for answer in answers)
    print(
        f"{right} of {len(answers)} answers are right; the best and the worst "
        f"are in {folder}: right.mp4, wrong.mp4, shown.png"
    )


def _ask(model, clip):
    texts = [sentence.text for sentence in clip.sentences]
    result = model.segment(clip.video(), texts)
    repeats = len(result) // len(clip.frames)
    masks = np.stack(
        [result.mask(i) for i in range(0, len(result), repeats)], axis=1
    )
    for sentence, found in zip(clip.sentences, masks, strict=True):
        truth = clip.masks[sentence.actor]
        iou = metrics.iou(*_areas(found[schema.TARGET_INDEX], truth))
        yield Answer(sentence.text, clip.frames, found, float(iou))


def _areas(mask, truth):
    return (mask & truth).sum(), (mask | truth).sum()


def _row(answer):
    drawn = [
        overlay.draw(frame, [mask], [overlay.PREDICTION])
        for frame, mask in zip(answer.frames, answer.masks, strict=True)
    ]
    row = np.concatenate(drawn, axis=1)
    return np.concatenate([row, caption(answer.label, row.shape[1], size=22)])


if __name__ == "__main__":
    command_line.run(main)
