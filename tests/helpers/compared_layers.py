"""The layers of the compared systems with inputs, on every Keras backend.

    python compared_layers.py FILE

reads FILE, calls them on JAX and adds what they give and their gradients.
"""

import os
import sys

if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "jax"

import numpy as np
from keras import ops

from keras_vas.models.compared import (
    common,
    conv_lstm,
    cross_guided_attention,
    deformable_filter,
    dynamic_filter,
    em_routing,
    optical_flow,
)

LENGTHS = (4, 2, 0)
SHAPE = (3, 3, 5, 6)
WORDS = (3, 4, 7)
MASK = np.arange(WORDS[1])[None] < np.array(LENGTHS)[:, None]
FRAMES = np.random.default_rng(9).uniform(60, 190, (2, 3, 6, 8, 3))
# A layer, and its inputs: shapes of what is drawn at random, or arrays.
CASES = {
    "words_for_cells": (
        cross_guided_attention.WordsForCells, {}, (SHAPE, WORDS, MASK)
    ),
    "cells_for_cells": (
        cross_guided_attention.CellsForCells, {}, (SHAPE, (3, 7))
    ),
    "tanh_filter": (dynamic_filter.DynamicFilter, {}, (SHAPE, (3, 7))),
    "sigmoid_filter": (
        dynamic_filter.DynamicFilter,
        {"activation": "sigmoid"},
        (SHAPE, (3, 7)),
    ),
    "deformable_filter": (
        deformable_filter.DeformableFilter,
        {"group": 2},
        (SHAPE, (*SHAPE[:3], 18), (*SHAPE[:3], 54), (3, 6)),
    ),
    "conv_lstm": (conv_lstm.ConvLSTM, {}, ((2, 3, 3, 4, 2),)),
    "em_routing": (
        em_routing.EMRouting,
        {"capsules": 3},
        ((2, 2, 1, 5, 16), np.linspace(0.1, 0.9, 20).reshape(2, 2, 1, 5)),
    ),
    "optical_flow": (
        optical_flow.OpticalFlow,
        {"levels": 2, "iterations": 5, "smoothness": 0.05},
        (FRAMES,),
    ),
    "largest_word": (common.LargestWord, {}, (WORDS, MASK)),
}  # fmt: skip


def make(name):
    """A built layer with random weights, and its inputs, arrays."""
    random = np.random.default_rng(sorted(CASES).index(name))
    layer_class, arguments, given = CASES[name]
    inputs = [
        x if isinstance(x, np.ndarray) else random.normal(size=x) for x in given
    ]
    inputs = [x if x.dtype == bool else x.astype("float32") for x in inputs]
    layer = layer_class(**arguments)
    layer(*inputs)
    for variable in layer.variables:
        variable.assign(random.normal(0, 0.5, variable.shape))
    return layer, inputs


def direction(shape, seed):
    """A fixed tensor to multiply outputs with, or to go along."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def on_jax(path):
    """Adds output and gradients of every layer to the arrays of a file."""
    import jax

    results = {}
    for name in CASES:
        layer, inputs = make(name)
        with np.load(path) as stored:
            for i, variable in enumerate(layer.variables):
                variable.assign(stored[f"{name}/variable_{i}"])
        variables = [v.value for v in layer.trainable_variables]
        floats = [i for i, x in enumerate(inputs) if x.dtype != bool]

        def loss(values, variables, layer=layer, inputs=inputs, floats=floats):
            filled = list(inputs)
            for i, value in zip(floats, values, strict=True):
                filled[i] = value
            output, _ = layer.stateless_call(variables, [], *filled)
            if not isinstance(output, (tuple, list)):
                output = [output]
            total = sum(
                ops.sum(x * direction(x.shape, i)) for i, x in enumerate(output)
            )
            return total, output

        values = [inputs[i] for i in floats]
        gradients, output = jax.jit(
            jax.grad(loss, argnums=(0, 1), has_aux=True)
        )(values, variables)
        for i, array in enumerate(output):
            results[f"{name}/output_{i}"] = array
        for i, array in enumerate([*gradients[0], *gradients[1]]):
            results[f"{name}/gradient_{i}"] = array
    np.savez(f"{path}.jax.npz", **results)


if __name__ == "__main__":
    on_jax(sys.argv[1])
