"""A model in parts by what each depends on: the clip, the sentence, both.

Many sentences about one clip share whatever does not depend on a sentence,
and many clips share what does not depend on a clip. The parts are found by
walking the functional graph; they hold the model's own layers, so that the
variables are the same and the numbers too.
"""

import keras

FRAMES = "frames"
TOKENS = "tokens"


def split(model):
    """Splits a model into what needs no sentence and what needs one.

    Args:
        model: functional model with the inputs `frames` and `tokens`.

    Returns:
        `(clip_model, sentence_model)`. `clip_model` takes `{"frames"}` and
        gives a dict of tensors. `sentence_model` takes those tensors and
        `tokens`, all of one batch size, and gives the outputs of `model`.
        Repeat the tensors of one clip to ask several sentences about it.

    Raises:
        ValueError: the model has other inputs.
    """
    graph = _Graph(model)
    clip = graph.cut({FRAMES})
    return (
        graph.model(f"{model.name}_clip", [FRAMES], {}, clip),
        graph.model(f"{model.name}_sentence", [TOKENS], clip, graph.output),
    )


def split_in_three(model):
    """Like `split`, with what needs no clip apart from the rest.

    Args:
        model: functional model with the inputs `frames` and `tokens`.

    Returns:
        `(clip_model, text_model, joint_model)`. `text_model` takes
        `{"tokens"}` and gives a dict of tensors; `joint_model` takes the
        tensors of both in one dict and gives the outputs of `model`.

    Raises:
        ValueError: as `split`.
    """
    graph = _Graph(model)
    clip, text = graph.cut({FRAMES}), graph.cut({TOKENS})
    return (
        graph.model(f"{model.name}_clip", [FRAMES], {}, clip),
        graph.model(f"{model.name}_text", [TOKENS], {}, text),
        graph.model(f"{model.name}_joint", [], {**clip, **text}, graph.output),
    )


class _Graph:
    """The nodes of a functional model, and the inputs that each needs."""

    def __init__(self, model):
        inputs = model.input
        if not isinstance(inputs, dict) or set(inputs) != {FRAMES, TOKENS}:
            raise ValueError(
                f"The model must have the inputs {FRAMES!r} and {TOKENS!r}. "
                f"Received: {inputs}"
            )
        self.output = model.output
        self._inputs = inputs
        self._outputs = keras.tree.flatten(model.output)
        self._nodes = _in_order(self._outputs)
        self._needs = {id(x): {name} for name, x in inputs.items()}
        for node in self._nodes:
            needs = set().union(
                *(self._needs[id(x)] for x in node.input_tensors)
            )
            for x in node.output_tensors:
                self._needs.setdefault(id(x), needs)

    def cut(self, names):
        """Tensors made from `names` alone that the rest needs.

        Args:
            names: set of input names.

        Returns:
            Dict from a name, unique in the model, to the symbolic tensor.
        """
        border = {}
        for node in self._nodes:
            if not self._needs[id(node.output_tensors[0])] <= names:
                border.update({id(x): x for x in node.input_tensors})
        border.update({id(x): x for x in self._outputs})
        return {
            _name(x): x
            for key, x in border.items()
            if self._needs[key] <= names
        }

    def model(self, name, inputs, given, outputs):
        """A model of the nodes between some tensors and the `outputs`.

        Args:
            name: of the new model.
            inputs: names of the whole model's inputs that it takes.
            given: dict of name to symbolic tensor, further inputs.
            outputs: nested structure of symbolic tensors.
        """
        sources = {**{x: self._inputs[x] for x in inputs}, **given}
        fresh = {
            key: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=key)
            for key, x in sources.items()
        }
        made = {id(x): fresh[key] for key, x in sources.items()}
        wanted = keras.tree.flatten(outputs)
        for node in _in_order(wanted, known=made):
            arguments, keywords = node.arguments.fill_in(made)
            results = node.operation(*arguments, **keywords)
            for old, new in zip(
                node.output_tensors, keras.tree.flatten(results), strict=True
            ):
                made.setdefault(id(old), new)
        return keras.Model(
            fresh,
            keras.tree.map_structure(lambda x: made[id(x)], outputs),
            name=name,
        )


def _in_order(tensors, known=()):
    """Nodes that lead to `tensors`, each after those that it needs."""
    ordered, seen = [], set(known)
    waiting = [(x, False) for x in reversed(tensors)]
    while waiting:
        tensor, ready = waiting.pop()
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if ready:
            ordered.append(node)
        elif id(tensor) not in seen and not node.is_input:
            seen.update(id(x) for x in node.output_tensors)
            waiting.append((tensor, True))
            waiting += [(x, False) for x in reversed(node.input_tensors)]
    return ordered


def _name(tensor):
    operation, index, which = tensor._keras_history
    parts = [operation.name]
    if index:
        parts.append(f"call_{index}")
    if which:
        parts.append(f"output_{which}")
    return "_".join(parts)
