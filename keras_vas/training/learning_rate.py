"""The course of the learning rate."""

import keras
from keras import ops

SCHEDULES = ("step", "cosine")


@keras.saving.register_keras_serializable("keras_vas")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at a step.

    With s the step and w the warm-up steps, base * min(1, (s + 1) / w) times

    - "step":   0.1 ** floor(s / decay_steps)
    - "cosine": (1 + cos(pi * (s - w) / (total_steps - w))) / 2, 1 before w

    Args:
        base: float, the highest rate.
        kind: one of `SCHEDULES`.
        total_steps: int, steps of the whole training.
        decay_steps: int, steps after which "step" divides by ten, again and
            again.
        warmup_steps: int, steps of the linear warm-up; 0 for none.
    """

    def __init__(self, base, kind, total_steps, decay_steps, warmup_steps=0):
        if kind not in SCHEDULES:
            raise ValueError(
                f"kind is one of {SCHEDULES}. Received: kind={kind}"
            )
        self.base = base
        self.kind = kind
        self.total_steps = total_steps
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Returns the float32 rate of the int `step`, counted from 0."""
        done = ops.cast(step, "float32")
        if self.kind == "step":
            factor = 0.1 ** ops.floor(done / self.decay_steps)
        else:
            whole = max(self.total_steps - self.warmup_steps, 1)
            part = ops.clip((done - self.warmup_steps) / whole, 0.0, 1.0)
            factor = (1.0 + ops.cos(part * 3.141592653589793)) / 2.0
        if self.warmup_steps:
            factor *= ops.minimum(1.0, (done + 1.0) / self.warmup_steps)
        return self.base * factor

    def get_config(self):
        return {
            "base": self.base,
            "kind": self.kind,
            "total_steps": self.total_steps,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
        }
