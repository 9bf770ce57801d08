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


def between(x, row, column):
    """A map `(h, w, C)` at a place between its cells."""
    total = np.zeros(x.shape[-1])
    for h in range(x.shape[0]):
        for w in range(x.shape[1]):
            near = max(0, 1 - abs(h - row)) * max(0, 1 - abs(w - column))
            total += near * x[h, w]
    return total


def literal_deformable_filter(_, visual, offsets, filters, sentence):
    channels = visual.shape[-1]
    result = np.zeros((*visual.shape[:3], channels // 2))
    for b, h, w in np.ndindex(visual.shape[:3]):
        for tap, (y, x) in enumerate(np.ndindex(3, 3)):
            dy, dx = offsets[b, h, w].reshape(9, 2)[tap]
            value = between(visual[b], h + y - 1 + dy, w + x - 1 + dx)
            value *= filters[b, h, w].reshape(9, channels)[tap] * sentence[b]
            result[b, h, w] += value.reshape(-1, 2).sum(-1)
    return result


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal_conv_lstm(weights, x):
    kernel, bias = weights
    size = x.shape[-1]
    hidden = cell = np.zeros((x.shape[0], *x.shape[2:]))
    for t in range(x.shape[1]):
        both = np.concatenate([x[:, t], hidden], -1)
        padded = np.pad(both, ((0, 0), (1, 1), (1, 1), (0, 0)))
        gates = bias + sum(
            padded[:, i : i + x.shape[2], j : j + x.shape[3]] @ kernel[i, j]
            for i, j in np.ndindex(3, 3)
        )
        i, f, o, g = (gates[..., n * size : (n + 1) * size] for n in range(4))
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
    return hidden


def literal_em_routing(weights, poses, activations):
    votes_of, cost, benefit = weights
    means = np.zeros((*poses.shape[:3], len(cost), 16))
    chosen = np.zeros(means.shape[:4])
    for cell in np.ndindex(poses.shape[:3]):
        votes = np.array(
            [
                [(pose.reshape(4, 4) @ w).ravel() for w in per_capsule]
                for pose, per_capsule in zip(poses[cell], votes_of, strict=True)
            ]
        )
        r = np.full(votes.shape[:2], 1 / len(cost))
        for t in (1, 2, 3):
            c = r * activations[cell][:, None]
            mean, variance, a = [], [], []
            for j in range(len(cost)):
                share = c[:, j] / (c[:, j].sum() + 1e-6)
                mean.append(share @ votes[:, j])
                spread = share @ (votes[:, j] - mean[j]) ** 2 + 1e-6
                variance.append(spread)
                total = (cost[j] + np.log(np.sqrt(spread))).sum()
                scale = (1 - 0.95**t) / 100
                a.append(sigmoid(scale * (benefit[j] - c[:, j].sum() * total)))
            for i in range(len(votes)):
                log_density = [
                    -(
                        (votes[i, j] - mean[j]) ** 2 / (2 * variance[j])
                        + np.log(2 * np.pi * variance[j]) / 2
                    ).sum()
                    for j in range(len(cost))
                ]
                r[i] = softmax(np.log(np.array(a) + 1e-6) + log_density)
        means[cell], chosen[cell] = mean, a
    return means, chosen


def literal_optical_flow(_, frames):
    grey = frames.mean(-1) / 255
    result = np.zeros((*grey.shape, 2))
    for b, t in np.ndindex(len(grey), grey.shape[1] - 1):
        pair = grey[b, t : t + 2]
        coarse = pair.reshape(2, 3, 2, 4, 2).mean(axis=(2, 4))
        flow = one_level(*coarse, np.zeros((3, 4, 2)))
        flow = one_level(*pair, 2 * np.kron(flow, np.ones((2, 2, 1))))
        result[b, t] = np.clip(flow, -20, 20) / 20
    result[:, -1] = result[:, -2]
    return result


def one_level(first, second, start, smoothness=0.05, iterations=5):
    height, width = first.shape

    def clipped(map_, h, w):
        return map_[min(max(h, 0), height - 1), min(max(w, 0), width - 1)]

    moved = np.zeros_like(first)
    for h, w in np.ndindex(first.shape):
        row = np.clip(h + start[h, w, 1], 0, height - 1)
        column = np.clip(w + start[h, w, 0], 0, width - 1)
        moved[h, w] = between(second[..., None], row, column)[0]
    change, flow = moved - first, start
    for _ in range(iterations):
        new = np.zeros_like(flow)
        for h, w in np.ndindex(first.shape):
            mean = (
                clipped(flow, h - 1, w) + clipped(flow, h + 1, w)
                + clipped(flow, h, w - 1) + clipped(flow, h, w + 1)
            ) / 4  # fmt: skip
            slope = np.array(
                [
                    clipped(moved, h, w + 1) - clipped(moved, h, w - 1),
                    clipped(moved, h + 1, w) - clipped(moved, h - 1, w),
                ]
            ) / 2  # fmt: skip
            error = slope @ (mean - start[h, w]) + change[h, w]
            new[h, w] = mean - error / (smoothness + slope @ slope) * slope
        flow = new
    return flow


LITERAL = {
    "words_for_cells": literal_words_for_cells,
    "cells_for_cells": literal_cells_for_cells,
    "tanh_filter": literal_filter(np.tanh),
    "sigmoid_filter": literal_filter(lambda x: 1 / (1 + np.exp(-x))),
    "deformable_filter": literal_deformable_filter,
    "conv_lstm": literal_conv_lstm,
    "em_routing": literal_em_routing,
    "optical_flow": literal_optical_flow,
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
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(along, slope, rtol=1e-3)


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


def test_flow_finds_a_shift():
    rows, columns = np.mgrid[:32, :48].astype("float32")
    frames = [
        127 + 60 * np.sin((rows - 1.5 * t) / 4) + 60 * np.cos((columns + t) / 5)
        for t in range(3)
    ]
    frames = np.repeat(np.stack(frames)[None, ..., None], 3, axis=-1)
    flow = np.array(cases.optical_flow.OpticalFlow()(frames)) * 20
    inner = flow[:, :2, 8:-8, 8:-8]
    assert np.abs(inner.mean(axis=(0, 1, 2, 3)) - (-1, 1.5)).max() < 0.1


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match="group=4"):
        cases.deformable_filter.DeformableFilter(4).build(
            (1, 2, 2, 6), None, None, None
        )
