"""A backbone by itself, and its variables by the names of `weights`."""

import functools

import keras

from keras_vas.backbones import SPATIAL_BACKBONES, STAGES, TEMPORAL_BACKBONES

PREFIX = "backbone"


def build(architecture, pixels=False):
    """A backbone at width 1 as a functional model.

    Args:
        architecture: name in `SPATIAL_BACKBONES` or `TEMPORAL_BACKBONES`.
        pixels: whether it takes RGB 0..255 instead of preprocessed frames.

    Returns:
        `keras.Model` from `(batch, [time,] height, width, 3)` to the list of
        its five stages.
    """
    backbone = {**SPATIAL_BACKBONES, **TEMPORAL_BACKBONES}[architecture](
        name=PREFIX
    )
    frames = keras.Input((None,) * backbone.rank + (3,), name="frames")
    x = backbone.preprocess(frames) if pixels else frames
    stages = []
    for stage in STAGES:
        x = backbone.stage(stage, x)
        stages.append(x)
    return keras.Model(frames, stages, name=architecture)


@functools.cache
def shapes(architecture):
    """Dict of variable name, as in `variables`, to shape, at width 1."""
    return {
        name: tuple(variable.shape)
        for name, variable in variables(build(architecture)).items()
    }


def variables(model, prefix=PREFIX):
    """The variables of a backbone.

    Args:
        model: a network that holds it.
        prefix: the backbone's name there.

    Returns:
        Dict of `layer/variable`, without the prefix, to `keras.Variable`.
    """
    return {
        variable.path.removeprefix(f"{prefix}_"): variable
        for variable in model.weights
        if variable.path.startswith(f"{prefix}_")
    }
