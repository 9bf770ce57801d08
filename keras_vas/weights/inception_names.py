"""Our names for the layers of an Inception V3 with automatic names.

Keras calls them `conv2d_57` and `batch_normalization_57`, numbers that differ
from file to file, so the place of a layer in the graph says what it is.
"""

from keras_vas.errors import UserError
from keras_vas.weights import graph_pairs, networks

LEFT_OUT = ""
_HEAD = "predictions"


def rename(container):
    """Our names for the arrays of a container with a graph.

    Args:
        container: `containers.Container`.

    Returns:
        Dict of the container's names to ours; to None if there is none, to
        `LEFT_OUT` for what stands behind the last block and is no layer
        `predictions`.

    Raises:
        UserError: there is no graph, or it is that of another network.
    """
    graph = container.graph
    if graph is None:
        raise UserError(
            f"{container.source} names its layers by numbers and holds no "
            "graph of an Inception V3; give the .h5 file of "
            "keras.applications, or a folder of TensorFlow.js"
        )
    pairs = pair(graph)

    def own(name):
        layer, _, variable = name.rpartition("/")
        if layer in pairs:
            return f"{pairs[layer]}/{variable}"
        if layer == _HEAD:
            return f"head/{variable}"
        return LEFT_OUT if layer in graph else None

    return {name: own(name) for name in container.arrays}


def pair(graph):
    """Dict of layer name in an Inception V3 to our name of the layer."""
    model = networks.build("inception_v3")
    ours = graph_pairs.graph_of(model)
    pairs = graph_pairs.pair(
        graph,
        graph_pairs.last_concatenation(graph),
        ours,
        graph_pairs.last_concatenation(ours),
    )
    return {name: networks.own_name(own) for name, own in pairs.items()}
