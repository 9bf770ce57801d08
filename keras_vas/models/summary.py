"""Parameters and multiply-adds of CSTM, beside table 4 of the paper.

Run as a program, `python -m keras_vas.models.summary [--flags of CSTM]`
prints two tables: the network as the paper counts it, and as it runs here.
"""

import dataclasses
import math

import keras
from absl import app, flags

from keras_vas.layers import CMAM, LGFS
from keras_vas.models.cstm.cstm import CSTM

# Table 4 of the paper, multiply-adds at 8 x 320 x 320.
PAPER_SPATIAL = 19.54e9
PAPER_WHOLE = 213.06e9
WORDS = 20

PARTS = {
    "word vectors": ("word_embedding",),
    "spatial text encoder": ("spatial_text",),
    "spatial backbone": ("spatial_backbone",),
    "spatial CMAM": ("spatial_cmam",),
    "temporal text encoder": ("temporal_text",),
    "temporal backbone": ("temporal_backbone",),
    "temporal CMAM": ("temporal_cmam",),
    "decoder laterals": (
        "decoder_spatial_lateral",
        "decoder_temporal_lateral",
    ),
    "decoder LGFS": ("decoder_lgfs",),
    "decoder finest head": ("decoder_head_1",),
    "decoder training heads": tuple(f"decoder_head_{i}" for i in range(2, 6)),
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters (numbers) and multiply-adds (of one clip) of a part."""

    parameters: int
    multiply_adds: int


def count(model, height, width, *, literal=False):
    """Counts a CSTM's parts for one clip of `height` x `width` pixels.

    A multiply-add is one product summed into a convolution, a matrix
    product or a recurrence, bias and elementwise arithmetic left out, as is
    the custom (the paper's "GFLOPs" are multiply-adds).

    Args:
        model: a `CSTM`.
        height: of the frames in pixels, a multiple of 32.
        width: likewise.
        literal: count equations 1 and 3 of CMAM as they are written, with
            a key at every position and the N x HW map. By default they
            count as they are computed, from the mean of the positions.

    Returns:
        Dict from part (the keys of `PARTS`) to `Cost`, in order.
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
    for part, prefixes in PARTS.items():
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


def spatial_part(costs):
    """Multiply-adds of the spatial encoder, the row Ours-Spa of table 4."""
    return sum(
        cost.multiply_adds
        for part, cost in costs.items()
        if part.startswith("spatial")
    )


def whole(costs):
    """Multiply-adds of all parts."""
    return sum(cost.multiply_adds for cost in costs.values())


def _multiply_adds(layer, literal):
    node = layer._inbound_nodes[-1]
    output = node.output_tensors[0].shape
    if isinstance(layer, keras.layers.RNN):
        cell = layer.cell
        return WORDS * sum(
            math.prod(kernel.shape)
            for kernel in (cell.kernel, cell.recurrent_kernel)
        )
    if isinstance(layer, CMAM):
        return _cmam(layer, node.input_tensors[0].shape, literal)
    if isinstance(layer, LGFS):
        return sum(
            math.prod(linear.kernel.shape)
            for linear in (layer.spatial_linear, layer.temporal_linear)
        )
    if hasattr(layer, "kernel"):
        return math.prod(output[1:-1]) * math.prod(layer.kernel.shape)
    return 0


def _cmam(cmam, visual_shape, literal):
    positions = math.prod(visual_shape[1:-1])
    keys = math.prod(cmam.key.kernel.shape)
    total = WORDS * math.prod(cmam.query.kernel.shape)
    total += math.prod(cmam.gate_linear.kernel.shape)
    total += WORDS * cmam.query.kernel.shape[0]
    if cmam.coordinate_fusion == "conv":
        total += positions * math.prod(cmam.fusion_conv.kernel.shape)
    if literal:
        return total + positions * (keys + WORDS * cmam.key_channels)
    return total + keys + WORDS * cmam.key_channels


def _table(title, costs):
    print(f"\n{title}")
    print(f"{'part':26}{'parameters':>14}{'multiply-adds':>16}")
    for part, cost in costs.items():
        print(
            f"{part:26}{cost.parameters:14,}{cost.multiply_adds / 1e9:14.2f} G"
        )
    parameters = sum(cost.parameters for cost in costs.values())
    print(f"{'whole':26}{parameters:14,}{whole(costs) / 1e9:14.2f} G")


def _beside_paper(name, ours, paper):
    share = 100 * (ours / paper - 1)
    print(
        f"{name:26}{ours / 1e9:10.2f} G   paper {paper / 1e9:7.2f} G"
        f"   {share:+.1f} %"
    )


def _main(_):
    arguments = flags.FLAGS.flag_values_dict()
    height, width = arguments["frame_height"], arguments["frame_width"]
    paper = count(
        CSTM(coordinate_fusion="conv", deep_supervision=True),
        height,
        width,
        literal=True,
    )
    _table(f"As the paper counts, 8 x {height} x {width}", paper)
    print()
    _beside_paper("spatial part", spatial_part(paper), PAPER_SPATIAL)
    _beside_paper("whole", whole(paper), PAPER_WHOLE)
    for fusion in ("conv", "linear"):
        model = CSTM(coordinate_fusion=fusion, width=arguments["width"])
        _table(
            f"As it runs: coordinate_fusion={fusion}, width "
            f"{arguments['width']:g}, one mask head",
            count(model, height, width),
        )


if __name__ == "__main__":
    flags.DEFINE_integer("frame_height", 320, "Height in pixels.")
    flags.DEFINE_integer("frame_width", 320, "Width in pixels.")
    flags.DEFINE_float("width", 1.0, "Channel multiplier of the second table.")
    app.run(_main)
