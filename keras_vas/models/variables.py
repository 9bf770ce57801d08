"""The variables of a model, by their paths."""

import concurrent.futures
import math

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


def count_numbers(make):
    """How many numbers the variables of a model would hold.

    The model is traced and its variables get no values, so that no memory
    depends on their sizes. What Keras remembers of them goes with the thread.

    Args:
        make: function without arguments that makes the model.

    Returns:
        int.
    """

    def counted():
        with keras.StatelessScope(initialize_variables=False):
            return sum(math.prod(v.shape) for v in make().variables)

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(counted).result()
