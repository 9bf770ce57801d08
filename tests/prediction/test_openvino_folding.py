"""What is folded into convolutions, against the same part without it."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("openvino") is None:
    pytest.skip(
        "no OpenVINO: pip install 'keras_vas[openvino]'",
        allow_module_level=True,
    )
from keras_vas.prediction import openvino_folding, openvino_parts

openvino = openvino_parts.library()
from openvino import opset13  # noqa: E402

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def part(sides, kernel, biased):
    """Features, constants and features beside one another, convolved."""
    ones = [1] * len(sides)
    inputs = [
        opset13.parameter([1, channels, *sides], np.float32, name=name)
        for name, channels in (("a", 3), ("b", 2))
    ]
    beside = [inputs[0], opset13.constant(normal(1, 8, *sides)), inputs[1]]
    x = opset13.convolution(
        opset13.concat(beside, 1), kernel, ones, ones, ones, ones
    )
    if biased:
        x = opset13.add(x, normal(1, 4, *ones))
    # what batch normalization is where the mean is subtracted last
    x = opset13.multiply(x, normal(1, 4, *ones))
    x = opset13.add(x, normal(1, 4, *ones))
    return openvino.Model([opset13.relu(x)], inputs)


def result(model, inputs):
    compiled = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return compiled(inputs)[0]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("sides", [(6, 5), (2, 6, 5)])
def test_it_computes_the_same(sides, biased):
    kernel = normal(4, 13, *[3] * len(sides))
    model = part(sides, kernel, biased)
    inputs = {"a": normal(1, 3, *sides), "b": normal(1, 2, *sides)}
    expected = result(model, inputs)
    names = {openvino_folding.key(kernel): "x/y"}
    openvino_folding.fold(openvino, model, names)
    found = result(model, inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (expected > 0).mean() > 0.2
    (convolution,) = openvino_folding.convolutions(model)
    assert convolution.friendly_name == "x/y"
    assert list(convolution.input_value(1).shape)[:2] == [4, 5]
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert "Multiply" not in kinds
    bias = openvino_folding.bias(convolution)
    assert list(bias.get_shape()) == [1, 4, *[1] * len(sides)]


def test_what_is_not_constant_stays():
    given = opset13.parameter([1, 2, 4, 4], np.float32, name="a")
    both = opset13.concat([given, opset13.relu(given)], 1)
    kernel = normal(3, 4, 1, 1)
    output = opset13.convolution(both, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([output], [given])
    inputs = {"a": normal(1, 2, 4, 4)}
    expected = result(model, inputs)
    openvino_folding.fold(openvino, model, {})
    np.testing.assert_array_equal(result(model, inputs), expected)
    (convolution,) = openvino_folding.convolutions(model)
    assert convolution.friendly_name == "convolution"
    assert openvino_folding.bias(convolution) is None
