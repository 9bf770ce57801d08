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


def make_within(make, most):
    """Makes a model for a checkpoint, unless it holds too many numbers.

    The model is traced once. Its variables get values only when they have
    been counted, so that no memory depends on the sizes that a damaged
    description may name. What Keras remembers of variables without values
    goes with the thread. Orthogonal initial values are zeros instead: a
    checkpoint replaces them, and there are none in bfloat16.

    Args:
        make: function without arguments that makes the model.
        most: int; with -1 the numbers are counted and nothing else.

    Returns:
        `(model, numbers)`: the model, `None` if it holds more than `most`
        numbers; and how many there are.
    """
    policy = keras.config.dtype_policy()

    def made():
        keras.config.set_dtype_policy(policy)
        with (
            keras.StatelessScope(initialize_variables=False),
            keras.saving.custom_object_scope(
                {"orthogonal": keras.initializers.Zeros}
            ),
        ):
            model = make()
            numbers = sum(math.prod(v.shape) for v in model.weights)
        if numbers > most:
            return None, numbers
        with keras.StatelessScope():
            pass  # Keras gives the variables their values at its end.
        return model, numbers

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(made).result()
