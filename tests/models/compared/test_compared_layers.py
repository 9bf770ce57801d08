"""Layers of the compared systems, written again in NumPy from their weights.

Gradients are compared with differences of what NumPy gives in float64, and
on JAX with those on TensorFlow.
"""

import subprocess
import sys

import compared_layers as cases
import keras
import numpy as np
import pytest


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def literal_words_for_cells(weights, visual, words, mask):
    kernel, bias = weights
    result = np.zeros((*visual.shape[:3], words.shape[-1]))
    for b, h, w in np.ndindex(visual.shape[:3]):
        real = words[b][mask[b]]
        if len(real):
            query = visual[b, h, w] @ kernel + bias
            result[b, h, w] = (
                softmax(real @ query / np.sqrt(words.shape[-1])) @ real
            )
    return result


def literal_cells_for_cells(weights, visual, sentence):
    key, key_bias, query, query_bias, value, value_bias, guide, bias = weights
    result = np.zeros(visual.shape)
    for b in range(len(visual)):
        cells = visual[b].reshape(-1, visual.shape[-1])
        t = sentence[b] @ guide + bias
        keys = (cells @ key + key_bias) * t
        queries = (cells @ query + query_bias) * t
        values = cells @ value + value_bias
        for p, k in enumerate(keys):
            weights = softmax(queries @ k / np.sqrt(visual.shape[-1]))
            result[b].reshape(-1, visual.shape[-1])[p] = weights @ values
    return result


def literal_filter(function):
    def literal(weights, visual, sentence):
        filters = function(sentence @ weights[0] + weights[1])
        return (visual * filters[:, None, None]).sum(-1, keepdims=True)

    return literal


def literal_largest_word(_, words, mask):
    return np.array(
        [
            w[m].max(axis=0) if m.any() else np.zeros(w.shape[-1])
            for w, m in zip(words, mask, strict=True)
        ]
    )


LITERAL = {
    "words_for_cells": literal_words_for_cells,
    "cells_for_cells": literal_cells_for_cells,
    "tanh_filter": literal_filter(np.tanh),
    "sigmoid_filter": literal_filter(lambda x: 1 / (1 + np.exp(-x))),
    "largest_word": literal_largest_word,
}


def listed(x):
    return list(x) if isinstance(x, (tuple, list)) else [x]


def on_tensorflow(name):
    """Layer, inputs, outputs, and gradients of a fixed sum of them."""
    tf = pytest.importorskip("tensorflow")
    layer, inputs = cases.make(name)
    floats = [tf.constant(x) for x in inputs if x.dtype != bool]
    masks = [x for x in inputs if x.dtype == bool]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        outputs = listed(layer(*floats, *masks))
        loss = sum(
            tf.reduce_sum(x * cases.direction(x.shape, i))
            for i, x in enumerate(outputs)
        )
    watched = [*floats, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(
        loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return layer, inputs, [np.array(x) for x in outputs], gradients


@pytest.fixture(scope="module")
def found():
    assert LITERAL.keys() == cases.CASES.keys()
    return {name: on_tensorflow(name) for name in cases.CASES}


@pytest.mark.parametrize("name", LITERAL)
def test_layers_equal_their_equations_and_so_do_gradients(found, name):
    layer, inputs, outputs, gradients = found[name]
    weights = [np.float64(v) for v in layer.trainable_variables]
    floats = [np.float64(x) for x in inputs if x.dtype != bool]
    masks = [x for x in inputs if x.dtype == bool]

    def literal(step=0.0):
        moved = [
            x + step * cases.direction(x.shape, 50 + i)
            for i, x in enumerate([*floats, *weights])
        ]
        count = len(floats)
        return listed(LITERAL[name](moved[count:], *moved[:count], *masks))

    for output, expected in zip(outputs, literal(), strict=True):
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(output, expected, atol=1e-5 * scale)
        assert np.abs(expected).max() > 1e-2

    def total(step):
        return sum(
            (x * cases.direction(x.shape, i)).sum()
            for i, x in enumerate(literal(step))
        )

    slope = (total(1e-5) - total(-1e-5)) / 2e-5
    along = sum(
        np.sum(np.float64(g) * cases.direction(g.shape, 50 + i))
        for i, g in enumerate(gradients)
    )
    assert abs(slope) > 1e-2
    np.testing.assert_allclose(along, slope, rtol=1e-4, atol=1e-3)


def test_jax_gives_the_same(found, tmp_path, repository):
    pytest.importorskip("jax")
    path = tmp_path / "arrays.npz"
    arrays = {
        f"{name}/variable_{i}": np.array(variable)
        for name, (layer, *_) in found.items()
        for i, variable in enumerate(layer.variables)
    }
    np.savez(path, **arrays)
    done = subprocess.run(
        [sys.executable, "tests/helpers/compared_layers.py", path],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    compared = 0
    with np.load(f"{path}.jax.npz") as there:
        for name, (_, _, outputs, gradients) in found.items():
            for kind, here in (("output", outputs), ("gradient", gradients)):
                for i, array in enumerate(here):
                    scale = max(1, np.abs(array).max())
                    np.testing.assert_allclose(
                        there[f"{name}/{kind}_{i}"], array, atol=2e-5 * scale
                    )
                    compared += 1
    assert compared >= 4 * len(found)


@pytest.mark.parametrize("name", LITERAL)
def test_layers_are_saved_and_loaded(found, tmp_path, name):
    layer, inputs, outputs, _ = found[name]
    symbolic = [
        keras.Input((None,) * (x.ndim - 2) + x.shape[-1:], dtype=str(x.dtype))
        for x in inputs
    ]
    model = keras.Model(symbolic, layer(*symbolic))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for here, there in zip(outputs, listed(loaded(inputs)), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-6)


def test_a_filter_names_a_wrong_choice():
    with pytest.raises(ValueError, match="activation='relu'"):
        cases.dynamic_filter.DynamicFilter("relu")
