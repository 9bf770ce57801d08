"""Convolutions that NNCF quantized, back in floating point."""

from keras_vas.prediction import openvino_folding

# What hands on the same numbers in another shape or order, or some of them.
_PASSING = frozenset(
    {
        "Concat",
        "MaxPool",
        "Pad",
        "Relu",
        "Reshape",
        "Squeeze",
        "StridedSlice",
        "Transpose",
        "Unsqueeze",
    }
)


def kernels(parts):
    """Dict from a convolution's name to the shape of its kernel, a list.

    Args:
        parts: dict of `openvino_parts.convert`.
    """
    return {
        node.friendly_name: list(node.input_value(1).shape)
        for part in parts.values()
        for node in openvino_folding.convolutions(part)
    }


def table(parts, names):
    """A row (a dict) for each of the convolutions with these names."""
    return [
        {"layer": name, "part": part, "kernel": shape}
        for part, content in parts.items()
        for name, shape in kernels({part: content}).items()
        if name in names
    ]


def exclude(quantized, parts, names):
    """Parts in which some convolutions are those of before.

    They get their own kernels and biases again, and what they alone read is
    no longer rounded.

    Args:
        quantized: dict of name to `openvino.Model`, what NNCF made of `parts`.
        parts: dict of `openvino_parts.convert`.
        names: of the convolutions.

    Returns:
        Dict like `quantized`.
    """
    found = {}
    for name, part in quantized.items():
        before = _by_name(parts[name])
        chosen = before.keys() & set(names)
        found[name] = _excluded(part, before, chosen) if chosen else part
    return found


def _excluded(part, before, names):
    part = part.clone()
    for name, node in _by_name(part).items():
        if name not in names:
            continue
        node.input(1).replace_source_output(_copy(before[name].input(1)))
        bias = openvino_folding.bias(node)
        if bias is not None:
            own = openvino_folding.bias(before[name])
            bias.replace_source_output(_copy(own))
    for node in part.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        for reader in list(node.output(0).get_target_inputs()):
            if _is_for(reader.get_node(), names):
                reader.replace_source_output(node.input_value(0))
    part.validate_nodes_and_infer_types()
    return part


def _is_for(node, names):
    """Whether what a node makes is read by these convolutions alone."""
    if node.get_type_name() == "Convolution":
        return node.friendly_name in names
    return node.get_type_name() in _PASSING and all(
        _is_for(reader.get_node(), names)
        for reader in node.output(0).get_target_inputs()
    )


def _copy(port):
    from openvino import opset13

    value = openvino_folding.constant(port.get_source_output())
    return opset13.constant(value).output(0)


def _by_name(part):
    return {
        node.friendly_name: node for node in openvino_folding.convolutions(part)
    }
