"""Constants of a converted part that can be computed beforehand.

At a fixed size the coordinates beside a feature are a constant, so that a
convolution of both is one of the feature, plus a constant map:

    Conv([V; P], [W_v; W_p]) = Conv(V, W_v) + Conv(P, W_p)

Batch normalization becomes a part of the convolution before it. Both are
exact; what is left is quicker, and an 8-bit convolution need not represent
features and coordinates by the same steps.
"""

import collections

import numpy as np

_CHANNELS = 1  # axis


def fold(openvino, part, names):
    """Folds what is constant into the convolutions of a part, in place.

    Args:
        openvino: the module.
        part: `openvino.Model` of fixed shapes.
        names: dict from the `key` of a kernel to the name of its layer, which
            the convolution gets.
    """
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(part, cf=True)
    count = collections.Counter()
    for convolution in convolutions(part):
        weights = constant(convolution.input_value(1))
        name = "convolution"
        if weights is not None:
            name = names.get(key(weights), name)
        count[name] += 1
        if count[name] > 1:
            name += f"_{count[name]}"
        convolution.set_friendly_name(name)
        _take_out_constants(openvino, convolution)
    part.validate_nodes_and_infer_types()


def key(kernel):
    """What batch normalization leaves of a kernel when it is folded into it.

    Args:
        kernel: array `(out, in, ...)`, of which the outputs may be scaled.

    Returns:
        The shape, and where each output's largest number is.
    """
    flat = np.abs(kernel).reshape(len(kernel), -1)
    return kernel.shape, flat.argmax(axis=1).tobytes()


def convolutions(part):
    """The nodes of a part that are convolutions, in order."""
    return [
        node
        for node in part.get_ordered_ops()
        if node.get_type_name() == "Convolution"
    ]


def _take_out_constants(openvino, convolution):
    """Makes constant channels of a convolution's input a constant map."""
    from openvino import opset13

    source = convolution.input_value(0).get_node()
    weights = constant(convolution.input_value(1))
    if source.get_type_name() != "Concat" or weights is None:
        return
    if source.get_attributes()["axis"] != _CHANNELS:
        return
    inputs = source.input_values()
    ends = np.cumsum([x.shape[_CHANNELS] for x in inputs])
    kernels = np.split(weights, ends[:-1], axis=_CHANNELS)
    pairs = list(zip(inputs, kernels, strict=True))
    still = [(x, w) for x, w in pairs if constant(x) is not None]
    moving = [(x, w) for x, w in pairs if constant(x) is None]
    if not still or not moving:
        return

    def convolved(pairs):
        inputs, kernels = zip(*pairs, strict=True)
        inputs = inputs[0] if len(inputs) == 1 else opset13.concat(inputs, 1)
        attributes = convolution.get_attributes()
        return opset13.convolution(
            inputs, np.concatenate(kernels, axis=1), **attributes
        )

    compiled = openvino.Core().compile_model(
        openvino.Model([convolved(still)], []),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    constant_map = compiled([])[0]
    left = convolved(moving)
    left.set_friendly_name(convolution.friendly_name)
    convolution.output(0).replace(left.output(0))
    readers = list(left.output(0).get_target_inputs())
    end = left
    if bias(left):
        end = readers[0].get_node()
        readers = list(end.output(0).get_target_inputs())
    total = opset13.add(end, constant_map)
    for reader in readers:
        reader.replace_source_output(total.output(0))


def bias(convolution):
    """The input with the constant that is added to a convolution, or None."""
    readers = list(convolution.output(0).get_target_inputs())
    node = readers[0].get_node() if len(readers) == 1 else None
    if node is None or node.get_type_name() != "Add":
        return None
    for port in node.inputs():
        if constant(port.get_source_output()) is not None:
            return port
    return None


def constant(value):
    """Array of a constant, or `None`."""
    node = value.get_node()
    return node.data if node.get_type_name() == "Constant" else None
