"""Parameters and multiply-adds of a model, beside the published ones.

Run as a program, `python -m keras_vas.models.summary [--model=NAME]
[--flags of the model]` prints the network as its paper counts it, where a
count is published, and as it runs here; with `--json`, the latter as JSON.
"""

import dataclasses
import json
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
    _trace(model, height, width)
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


def second_axis_count(model, height, width):
    """What a counter gives that takes a kernel's second axis for its inputs.

    In PyTorch a convolution's kernel is `(outputs, inputs, ...)` and a
    transposed one's `(inputs, outputs, ...)`. Positions of the output times
    output channels times the second axis times the cells of the kernel is
    then right for the first kind, and too much for the second. docs/cost.md
    compares it with the paper's table 4.

    Args:
        model: `SegmentationModel`.
        height: of the frames in pixels, a multiple of 32.
        width: likewise.
    """
    total = multiply_adds(count(model, height, width))
    for layer in model.layers:
        if isinstance(layer, _TRANSPOSED):
            *cells, outputs, _ = layer.kernel.shape
            positions = _node(layer).output_tensors[0].shape[1:-1]
            total += math.prod((*positions, *cells, outputs, outputs))
            total -= _multiply_adds(layer, False)
    return total


def _trace(model, height, width):
    """Calls the layers once more, on inputs whose shapes are all known."""
    frames, tokens = model.input["frames"], model.input["tokens"]
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


def multiply_adds(costs, prefix=""):
    """Multiply-adds of the parts whose names begin with `prefix`."""
    return sum(
        cost.multiply_adds
        for part, cost in costs.items()
        if part.startswith(prefix)
    )


_TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


def _node(layer):
    return layer._inbound_nodes[-1]


def _multiply_adds(layer, literal):
    node = _node(layer)
    given, output = node.input_tensors[0].shape, node.output_tensors[0].shape
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
        positions = given if isinstance(layer, _TRANSPOSED) else output
        return math.prod(positions[1:-1]) * math.prod(layer.kernel.shape)
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
    size = flags.FLAGS.height, flags.FLAGS.width
    chosen = {"width": flags.FLAGS.model_width}
    if flags.FLAGS.frames:
        chosen["num_frames"] = flags.FLAGS.frames
    published = model_class.published
    if published and not flags.FLAGS.json:
        model = model_class(**{**chosen, **published["arguments"]})
        paper = count(model, *size, literal=True)
        _table(f"As the paper counts, {size[0]} x {size[1]} pixels", paper)
        print()
        for part, number in published["multiply_adds"].items():
            _beside_paper(part or "whole", multiply_adds(paper, part), number)
    model = command_line.build(model_class, **chosen)
    costs = count(model, *size)
    if not flags.FLAGS.json:
        _table(f"As it runs, {size[0]} x {size[1]} pixels", costs)
        return
    parts = {part: dataclasses.asdict(cost) for part, cost in costs.items()}
    report = {
        "parameters": model.count_params(),
        "multiply_adds": multiply_adds(costs),
        "parts": parts,
        "second_axis_count": second_axis_count(model, *size),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    flags.DEFINE_enum(
        "model",
        registry.DEFAULT,
        list(registry.MODELS),
        "Model whose cost is counted.",
    )
    flags.DEFINE_integer("frames", None, "Frames of a clip; or the model's.")
    flags.DEFINE_integer("height", 320, "Height of the frames in pixels.")
    flags.DEFINE_integer("width", 320, "Width of the frames in pixels.")
    flags.DEFINE_float(
        "model_width", 1.0, "What channels are times: --width of train.py."
    )
    flags.DEFINE_boolean("json", False, "Print numbers as one line of JSON.")
    known = registry.model_class(
        command_line.early_value("model", registry.DEFAULT)
    )
    command_line.define_flags(
        known, without=(*known.programs_set, "num_frames", "width")
    )
    command_line.run(_main)
