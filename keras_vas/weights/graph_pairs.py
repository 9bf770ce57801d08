"""Which layer of one network is which of another, by their graphs alone.

A graph is a dict of layer name to `Node`. Two graphs are walked together
from their last layers to their inputs; every pair must be of one kind and
have as many inputs, in the same order. Layer names play no part, so that
automatic names (`conv2d_57`) do no harm.
"""

import dataclasses

import keras

from keras_vas.errors import UserError

_KINDS = {"Activation": "ReLU"}


@dataclasses.dataclass(frozen=True)
class Node:
    """A layer: its kind (Keras class) and the layers that it reads."""

    kind: str
    inputs: tuple


def makers(model):
    """Dict of the `id` of a tensor of a functional model to its layer."""
    return {
        id(tensor): layer.name
        for layer in model.layers
        for tensor in keras.tree.flatten(layer.output)
    }


def graph_of(model):
    """The graph of a functional Keras model whose layers are used once."""
    made = makers(model)
    return {
        layer.name: Node(
            _kind(type(layer).__name__),
            ()
            if isinstance(layer, keras.layers.InputLayer)
            else tuple(made[id(t)] for t in keras.tree.flatten(layer.input)),
        )
        for layer in model.layers
    }


def graph_of_json(layers):
    """The graph in the JSON that Keras 1 and 2 wrote of a functional model.

    Args:
        layers: the list `config.layers` of that JSON.
    """
    return {
        layer["name"]: Node(
            _kind(layer["class_name"]),
            tuple(
                origin[0]
                for node in layer["inbound_nodes"][:1]
                for origin in node
            ),
        )
        for layer in layers
    }


def last_concatenation(graph):
    """Name of the concatenation that no other depends on: the trunk's end.

    Raises:
        UserError: there is not exactly one.
    """
    joins = [name for name, node in graph.items() if node.kind == "Concatenate"]
    earlier = set()
    for name in joins:
        earlier |= _ancestors(graph, name)
    last = [name for name in joins if name not in earlier]
    if len(last) != 1:
        raise UserError(
            f"the network has {len(last)} last concatenations instead of one; "
            "it is no Inception network"
        )
    return last[0]


def pair(theirs, their_top, ours, our_top):
    """Pairs the layers that two networks are made of.

    Args:
        theirs: graph. A concatenation of concatenations counts as one.
        their_top: name of the layer to begin with.
        ours: graph.
        our_top: name of the layer to begin with.

    Returns:
        Dict of their layer name to our layer name, of all layers that the
        first layers depend on; inner concatenations are left out.

    Raises:
        UserError: the networks differ, saying where.
    """
    paired = {}
    open_pairs = [(their_top, our_top)]
    while open_pairs:
        name, own = open_pairs.pop()
        if name in paired:
            if paired[name] != own:
                raise UserError(
                    f"{name} is both {paired[name]} and {own}; this is "
                    "another architecture"
                )
            continue
        paired[name] = own
        inputs, own_inputs = _inputs(theirs, name), _inputs(ours, own)
        kinds = theirs[name].kind, ours[own].kind
        if kinds[0] != kinds[1] or len(inputs) != len(own_inputs):
            raise UserError(
                f"{name} is a {kinds[0]} of {len(inputs)} inputs, but {own} a "
                f"{kinds[1]} of {len(own_inputs)}; this is another architecture"
            )
        open_pairs.extend(zip(inputs, own_inputs, strict=True))
    return paired


def _inputs(graph, name):
    """Inputs of a layer; those of a concatenation with inner ones opened."""
    inputs = graph[name].inputs
    if graph[name].kind != "Concatenate":
        return inputs
    return tuple(
        inner
        for origin in inputs
        for inner in (
            _inputs(graph, origin)
            if graph[origin].kind == "Concatenate"
            else (origin,)
        )
    )


def _ancestors(graph, name):
    found, waiting = set(), list(graph[name].inputs)
    while waiting:
        origin = waiting.pop()
        if origin not in found:
            found.add(origin)
            waiting.extend(graph[origin].inputs)
    return found


def _kind(class_name):
    return _KINDS.get(class_name, class_name)
