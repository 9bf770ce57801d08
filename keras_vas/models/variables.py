"""The variables of a model, by their paths."""

import keras


def model_variables(model):
    """Dict of path to `keras.Variable`, every variable of `model`."""
    mapping = {variable.path: variable for variable in model.weights}
    if len(mapping) != len(model.weights):
        paths = [variable.path for variable in model.weights]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"Variable paths must be unique. Received: {twice}")
    return mapping


def training_only(model):
    """Sorted paths of the variables that `mask_logits` does without."""
    inference = keras.Model(model.inputs, model.output["mask_logits"])
    needed = {variable.path for variable in inference.weights}
    return sorted(set(model_variables(model)) - needed)
