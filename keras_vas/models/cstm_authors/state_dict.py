"""The authors' checkpoint in our layers.

| theirs                          | ours                                    |
|---------------------------------|-----------------------------------------|
| t_layer1.0, t_layer2.1 ...      | temporal_backbone_Conv3d_1a_7x7 ...     |
| s_layer1.0, s_layer2.1.0 ...    | spatial_backbone_conv1, conv2_block1 ...|
| txt_encoder, txt_norm.0         | text_gru, text_norm                     |
| cmam_s.I, cmam_t.I              | spatial_cmam_{I+1}, temporal_cmam_{I+1} |
| ires_trans.I, vres_trans.I      | decoder_{encoder}_lateral_{I+1}         |
| conv_fuse1.I, conv_fuse2.I      | decoder_fusion_{I+1}, decoder_sum_{I+1} |
| conv_mask.5                     | decoder_head; 0 to 4 serve training     |

Batch normalization is multiplied into the convolution before it, in float64:
its epsilon is another than ours, and I3D's has a factor that ours lacks. What
of ours remains does nothing.
"""

import numpy as np

from keras_vas.errors import UserError

_EPSILON = 1e-5
_I3D_UNITS = {
    "t_layer1.0": "Conv3d_1a_7x7",
    "t_layer2.1": "Conv3d_2b_1x1",
    "t_layer2.2": "Conv3d_2c_3x3",
}
_I3D_BLOCKS = {3: "bc", 4: "bcdef", 5: "bc"}
_I3D_BRANCHES = {
    "branch_0": "Branch_0_Conv3d_0a_1x1",
    "branch_1.0": "Branch_1_Conv3d_0a_1x1",
    "branch_1.1": "Branch_1_Conv3d_0b_3x3",
    "branch_2.0": "Branch_2_Conv3d_0a_1x1",
    "branch_2.1": "Branch_2_Conv3d_0b_3x3",
    "branch_3.1": "Branch_3_Conv3d_0b_1x1",
}
_RESNET_BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
_SHOWN = 5


def arguments(state, source):
    """The arguments of `AuthorsCSTM` that the shapes of a checkpoint mean.

    Args:
        state: dict of name to array.
        source: path of the checkpoint, for the message.

    Returns:
        Dict of `width`, `text_channels` and `embedding_dim`.

    Raises:
        UserError: these arrays are missing.
    """
    try:
        return {
            "width": state["ires_trans.0.0.weight"].shape[0] / 256,
            "text_channels": state["txt_encoder.weight_hh_l0"].shape[1],
            "embedding_dim": state["txt_encoder.weight_ih_l0"].shape[1],
        }
    except (KeyError, IndexError) as error:
        raise UserError(
            f"{source} is no checkpoint of the authors' CSTM: it lacks {error}"
        ) from error


def convert(state, source):
    """The arrays of a checkpoint by the paths of our variables.

    Args:
        state: dict of name to array, as PyTorch holds them.
        source: path of the checkpoint, for the message.

    Returns:
        Dict of path to float32 array, everything but the word vectors.

    Raises:
        UserError: an array is missing, too many or of an unknown shape.
    """
    state = {
        name: array
        for name, array in state.items()
        if not name.endswith("num_batches_tracked")
        and not name.startswith(tuple(f"conv_mask.{i}." for i in range(5)))
    }
    found = {}
    try:
        for prefix, layer, batch_norm in _backbones():
            _put_normed(found, state, prefix, layer, batch_norm)
        _put_text(found, state)
        for index in range(5):
            _put_cmam(found, state, f"cmam_s.{index}", "spatial", index + 1)
            _put_cmam(found, state, f"cmam_t.{index}", "temporal", index + 1)
        for prefix, layer in _decoder():
            kernel, bias = _folded(state, f"{prefix}.0", f"{prefix}.1")
            found[f"decoder_{layer}/kernel"] = kernel
            found[f"decoder_{layer}/bias"] = bias
        for index, layer in enumerate(("conv_1", "conv_2", "logits")):
            prefix, layer = f"conv_mask.5.{2 * index}", f"decoder_head_{layer}"
            found[f"{layer}/kernel"] = _kernel(state.pop(f"{prefix}.weight"))
            found[f"{layer}/bias"] = state.pop(f"{prefix}.bias")
    except KeyError as error:
        raise UserError(
            f"{source} is no checkpoint of the authors' CSTM: it lacks {error}"
        ) from error
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{source} is no checkpoint of the authors' CSTM: an array has an "
            f"unknown shape ({error})"
        ) from error
    if state:
        raise UserError(
            f"{source} is no checkpoint of the authors' CSTM: nobody knows "
            f"its {', '.join(list(state)[:_SHOWN])}"
        )
    return {path: np.float32(array) for path, array in found.items()}


def _backbones():
    """Their prefixes of convolution and batch normalization, and our layer."""
    units = dict(_I3D_UNITS)
    for stage, letters in _I3D_BLOCKS.items():
        for number, letter in enumerate(letters, 1):
            for theirs, ours in _I3D_BRANCHES.items():
                prefix = f"t_layer{stage}.{number}.{theirs}"
                units[prefix] = f"Mixed_{stage}{letter}_{ours}"
    for prefix, ours in units.items():
        layer = f"temporal_backbone_{ours}"
        yield f"{prefix}.conv3d", layer, f"{prefix}.batch3d"
    yield "s_layer1.0", "spatial_backbone_conv1", "s_layer1.1"
    for stage, count in _RESNET_BLOCKS.items():
        for number in range(1, count + 1):
            inner = ".1" if stage == 2 else ""
            prefix = f"s_layer{stage}{inner}.{number - 1}"
            layer = f"spatial_backbone_conv{stage}_block{number}"
            if number == 1:
                shortcut = f"{prefix}.downsample"
                yield f"{shortcut}.0", f"{layer}_0", f"{shortcut}.1"
            for i in (1, 2, 3):
                yield f"{prefix}.conv{i}", f"{layer}_{i}", f"{prefix}.bn{i}"


def _decoder():
    for index in range(5):
        yield f"ires_trans.{index}", f"spatial_lateral_{index + 1}"
        yield f"vres_trans.{index}", f"temporal_lateral_{index + 1}"
        yield f"conv_fuse1.{index}", f"fusion_{index + 1}"
        if index < 4:
            yield f"conv_fuse2.{index}", f"sum_{index + 1}"


def _put_normed(found, state, prefix, layer, batch_norm):
    """A convolution and its batch normalization, in layers of both kinds."""
    kernel, bias = _folded(state, prefix, batch_norm)
    found[f"{layer}_conv/kernel"] = kernel
    if layer.startswith("spatial"):
        found[f"{layer}_conv/bias"] = np.zeros_like(bias)
        epsilon = 1.001e-5
    else:
        epsilon = 1e-3
    _put_identity(found, f"{layer}_bn", bias, epsilon)
    if layer.startswith("temporal"):
        del found[f"{layer}_bn/gamma"]


def _put_identity(found, layer, beta, epsilon):
    """Batch normalization that only adds `beta`."""
    found[f"{layer}/gamma"] = np.ones_like(beta)
    found[f"{layer}/beta"] = beta
    found[f"{layer}/moving_mean"] = np.zeros_like(beta)
    found[f"{layer}/moving_variance"] = np.full_like(beta, 1 - epsilon)


def _put_text(found, state):
    for theirs, ours in (
        ("weight_ih_l0", "kernel"),
        ("weight_hh_l0", "recurrent_kernel"),
    ):
        reset, update, new = np.split(state.pop(f"txt_encoder.{theirs}"), 3)
        found[f"text_gru/cell/{ours}"] = np.concatenate([update, reset, new]).T
    found["text_norm/gamma"] = state.pop("txt_norm.0.weight")
    found["text_norm/beta"] = state.pop("txt_norm.0.bias")


def _put_cmam(found, state, prefix, encoder, stage):
    names = {"spatial": ("conv", "bn"), "temporal": ("conv3d", "batch3d")}
    conv, batch_norm = names[encoder]
    layer = f"{encoder}_cmam_{stage}"
    found[f"{layer}/fusion_conv/kernel"], beta = _folded(
        state, f"{prefix}.vt.{conv}", f"{prefix}.vt.{batch_norm}"
    )
    _put_identity(found, f"{layer}/fusion_bn", beta, 1e-3)
    for part, *theirs in (
        ("key", f"v_key.{conv}", f"v_key.{batch_norm}"),
        ("query", "l_query.0", "l_query.1"),
    ):
        kernel, bias = _folded(state, *(f"{prefix}.{x}" for x in theirs))
        found[f"{layer}/{part}/kernel"] = kernel.reshape(kernel.shape[-2:])
        found[f"{layer}/{part}/bias"] = bias
    linear = f"{layer}/gate_linear"
    found[f"{linear}/kernel"] = state.pop(f"{prefix}.gamma.0.weight").T
    found[f"{linear}/bias"] = state.pop(f"{prefix}.gamma.0.bias")


def _folded(state, convolution, batch_norm):
    """Kernel `(*size, in, out)` and bias of a convolution and what follows."""
    kernel = _kernel(state.pop(f"{convolution}.weight")).astype(np.float64)
    bias = state.pop(f"{convolution}.bias", 0.0)
    gamma, beta, mean, variance = (
        state.pop(f"{batch_norm}.{name}").astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + _EPSILON)
    bias = beta + (bias - mean) * factor
    return np.float32(kernel * factor), np.float32(bias)


def _kernel(weight):
    """`(out, in, *size)` to `(*size, in, out)`."""
    return np.moveaxis(weight, (0, 1), (-1, -2))
