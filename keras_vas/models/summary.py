"""Parameters and multiply-adds of a model, beside the published ones.

Run as a program, `python -m keras_vas.models.summary [--model=NAME]
[--flags of the model]` prints the network as its paper counts it, where a
count is published, and as it runs here.
"""

import dataclasses
import math

import keras
from absl import flags

from keras_vas import command_line
from keras_vas.models import registry

WORDS = 20


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters (numbers) and multiply-adds (of one clip) of a part."""

    parameters: int
    multiply_adds: int


def count(model, height, width, *, literal=False):
    """Counts a model's parts for one clip of `height` x `width` pixels.

    A multiply-add is one product summed into a convolution, a matrix
    product or a recurrence, bias and elementwise arithmetic left out, as is
    the custom (the paper's "GFLOPs" are multiply-adds).

    Args:
        model: `SegmentationModel`.
        height: of the frames in pixels, a multiple of 32.
        width: likewise.
        literal: count equations 1 and 3 of CMAM as they are written, with
            a key at every position and the N x HW map. By default they
            count as they are computed, from the mean of the positions.

    Returns:
        Dict from part (the keys of the model's `costs`) to `Cost`, in order.
    """
    frames, tokens = model.input["frames"], model.input["tokens"]
    # The same layers once more, on inputs whose shapes are all known.
    keras.models.clone_model(
        model,
        input_tensors={
            "frames": keras.Input(
                batch_shape=(1, frames.shape[1], height, width, 3),
                name="frames",
            ),
            "tokens": keras.Input(
                batch_shape=(1, WORDS), dtype=tokens.dtype, name="tokens"
            ),
        },
        clone_function=lambda layer: layer,
    )
    costs = {}
    for part, prefixes in model.costs.items():
        layers = [x for x in model.layers if x.name.startswith(prefixes)]
        if layers:
            costs[part] = Cost(
                sum(layer.count_params() for layer in layers),
                sum(_multiply_adds(layer, literal) for layer in layers),
            )
    counted = sum(cost.parameters for cost in costs.values())
    if counted != model.count_params():
        raise ValueError(
            "every layer with weights must belong to one part. Received: "
            f"{counted} of {model.count_params()} parameters"
        )
    return costs


def multiply_adds(costs, prefix=""):
    """Multiply-adds of the parts whose names begin with `prefix`."""
    return sum(
        cost.multiply_adds
        for part, cost in costs.items()
        if part.startswith(prefix)
    )


def _multiply_adds(layer, literal):
    node = layer._inbound_nodes[-1]
    output = node.output_tensors[0].shape
    if isinstance(layer, keras.layers.RNN):
        cell = layer.cell
        return WORDS * sum(
            math.prod(kernel.shape)
            for kernel in (cell.kernel, cell.recurrent_kernel)
        )
    if hasattr(layer, "multiply_adds"):
        shapes = [x.shape for x in node.input_tensors]
        return layer.multiply_adds(*shapes[:2], literal)
    if hasattr(layer, "kernel"):
        return math.prod(output[1:-1]) * math.prod(layer.kernel.shape)
    return 0


def _table(title, costs):
    print(f"\n{title}")
    print(f"{'part':26}{'parameters':>14}{'multiply-adds':>16}")
    for part, cost in costs.items():
        print(
            f"{part:26}{cost.parameters:14,}{cost.multiply_adds / 1e9:14.2f} G"
        )
    parameters = sum(cost.parameters for cost in costs.values())
    print(f"{'whole':26}{parameters:14,}{multiply_adds(costs) / 1e9:14.2f} G")


def _beside_paper(name, ours, paper):
    share = 100 * (ours / paper - 1)
    print(
        f"{name:26}{ours / 1e9:10.2f} G   paper {paper / 1e9:7.2f} G"
        f"   {share:+.1f} %"
    )


def _main(_):
    model_class = registry.model_class(flags.FLAGS.model)
    height, width = flags.FLAGS.frame_height, flags.FLAGS.frame_width
    published = model_class.published
    if published:
        paper = count(
            model_class(**published["arguments"]), height, width, literal=True
        )
        _table(f"As the paper counts, {height} x {width} pixels", paper)
        print()
        for part, number in published["multiply_adds"].items():
            _beside_paper(part or "whole", multiply_adds(paper, part), number)
    model = command_line.build(model_class)
    _table(
        f"As it runs, {height} x {width} pixels", count(model, height, width)
    )


if __name__ == "__main__":
    flags.DEFINE_enum(
        "model",
        registry.DEFAULT,
        list(registry.MODELS),
        "Model whose cost is counted.",
    )
    flags.DEFINE_integer("frame_height", 320, "Height of the frames in pixels.")
    flags.DEFINE_integer("frame_width", 320, "Width of the frames in pixels.")
    chosen = registry.model_class(
        command_line.early_value("model", registry.DEFAULT)
    )
    command_line.define_flags(chosen, without=chosen.programs_set)
    command_line.run(_main)
