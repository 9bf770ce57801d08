"""What the variables of published networks are called here.

Our name of a variable is `layer/variable`, the layer without the prefix of
its backbone, as in `Mixed_3b_Branch_1_Conv3d_0b_3x3_conv/kernel`. The last
layer of the published network, which the five stages do without, is
`head/kernel` (channels, classes) and `head/bias`.

A map is total: a name that is left over on either side is an error.
"""

import collections
import re

import numpy as np

from keras_vas import packed_files
from keras_vas.errors import UserError
from keras_vas.weights import networks

HEAD = "head"
_LISTED = 12


def own_names(names, architecture):
    """Our names for a publisher's.

    Args:
        names: all names of variables in a file.
        architecture: name of a backbone.

    Returns:
        Dict of name to our name, to None where there is none.

    Raises:
        UserError: no weights of that architecture are published.
    """
    if architecture not in _MAPS:
        raise UserError(
            f"there are no published weights for {architecture}: kernels of "
            "another network do not fit it. Ports exist for "
            + ", ".join(sorted(_MAPS))
        )
    return _MAPS[architecture](names)


def fit(arrays, own, architecture, source):
    """Gives arrays our names and shapes.

    Args:
        arrays: dict of name to array.
        own: dict of these names to ours, as of `own_names`.
        architecture: name of a backbone.
        source: where the arrays come from, for the message.

    Returns:
        Dict of our name to float32 array; with the head, if it is there.

    Raises:
        UserError: a name on either side is left over (both are listed), a
            shape differs, or a number is not finite.
    """
    shapes = networks.shapes(architecture)
    known = {*shapes, f"{HEAD}/kernel", f"{HEAD}/bias"}
    count = collections.Counter(own.values())
    parts = {
        "there and not here": [n for n, o in own.items() if o not in known],
        "here and not there": [name for name in shapes if not count[name]],
        "twice there": sorted(name for name in known if count[name] > 1),
    }
    if any(parts.values()):
        raise UserError(
            f"{source} does not hold the weights of {architecture}: "
            + "; ".join(
                f"{len(names)} {what} ({_some(names)})"
                for what, names in parts.items()
                if names
            )
        )
    return {
        own[name]: _shaped(array, shapes.get(own[name]), f"{name} in {source}")
        for name, array in arrays.items()
    }


def _shaped(array, shape, what):
    """One array in float32; axes of length 1 in front of its own are cut.

    The kernel of a fully connected layer on a map becomes a convolution's.
    """
    if shape is None:  # the head: (..., channels, classes) or (classes,)
        shape = array.shape[-2:]
    flat = (int(np.prod(shape[:-1])), shape[-1])
    if len(shape) == 4 and array.shape == flat:
        array = array.reshape(shape)
    lead = array.ndim - len(shape)
    if lead < 0 or array.shape != (1,) * lead + tuple(shape):
        raise UserError(
            f"{what} is of shape {array.shape} instead of {tuple(shape)}; it "
            "is of another network, or another width"
        )
    if array.dtype.kind not in packed_files.NUMBERS:
        raise UserError(f"{what} holds {array.dtype} instead of numbers")
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{what} holds NaN or infinity")
    return array.reshape(shape)


def _some(names):
    more = ", ..." if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _by_patterns(*conventions):
    """A map by that convention which knows most of the names."""

    def own(names):
        candidates = (
            {name: convention(name) for name in names}
            for convention in conventions
        )
        return max(candidates, key=lambda c: sum(map(bool, c.values())))

    return own


_FLAX = re.compile(r"(?:params|batch_stats)\|(.+)\|(?:Conv|BatchNorm)_0\|(\w+)")
_SONNET = re.compile(
    r"RGB/inception_i3d/(.+)/(conv_3d|batch_norm)/(\w+)"
)  # fmt: skip
_OLD_RESNET = re.compile(
    r"(res|bn|fc)(\d+|_conv1)(?:([a-z])_branch([12])([a-c]?))?/(\w+)"
)
_FLAX_VARIABLES = {
    ("conv", "kernel"): "kernel",
    ("conv", "bias"): "bias",
    ("bn", "bias"): "beta",
    ("bn", "mean"): "moving_mean",
    ("bn", "var"): "moving_variance",
}
_SONNET_VARIABLES = {"w": "kernel", "b": "bias"}
_I3D_HEAD = "Logits_Conv3d_0c_1x1_conv"
# In the module of TensorFlow Hub one layer has the name of another.
_IRREGULAR = {
    "Mixed_5b_Branch_2_Conv3d_0a_3x3": "Mixed_5b_Branch_2_Conv3d_0b_3x3"
}


def _flax_i3d(name):
    """`params|Mixed_3b|Branch_1/Conv3d_0b_3x3|BatchNorm_0|bias`."""
    match = _FLAX.fullmatch(name)
    if not match:
        return None
    kind = "bn" if "|BatchNorm_0|" in name else "conv"
    variable = _FLAX_VARIABLES.get((kind, match[2]))
    layer = re.sub(r"[|/]", "_", match[1])
    return variable and _headed(f"{layer}_{kind}", _I3D_HEAD, variable)


def _sonnet_i3d(name):
    """`RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w`."""
    match = _SONNET.fullmatch(name)
    if not match:
        return None
    layer = match[1].replace("/", "_")
    layer = _IRREGULAR.get(layer, layer)
    kind = "conv" if match[2] == "conv_3d" else "bn"
    variable = _SONNET_VARIABLES.get(match[3], match[3])
    return _headed(f"{layer}_{kind}", _I3D_HEAD, variable)


def inception_layers(layers):
    """Our names for the layers of Keras' Inception V3 that have weights.

    Keras numbers the layers of a kind in the order in which it makes them,
    which is that of the names of TF-Slim, sorted. Where it begins to count
    does not matter.

    Args:
        layers: Keras' names, such as `conv2d_57`, in any order.

    Returns:
        Dict of Keras' name to our name.
    """
    own = {name.rpartition("/")[0] for name in networks.shapes("inception_v3")}
    pairs = {"predictions": HEAD}
    for kind, ending in (("conv2d", "conv"), ("batch_normalization", "bn")):
        theirs = {}
        for layer in layers:
            if match := re.fullmatch(rf"{kind}(?:_(\d+))?", layer):
                theirs[int(match[1] or 0)] = layer
        ours = sorted(name for name in own if name.endswith(f"_{ending}"))
        theirs = [theirs[number] for number in sorted(theirs)]
        pairs.update(zip(theirs, ours, strict=False))
    return pairs


def _inception(names):
    pairs = inception_layers({name.rpartition("/")[0] for name in names})
    return {
        name: f"{pairs[layer]}/{variable}" if layer in pairs else None
        for name in names
        for layer, _, variable in [name.rpartition("/")]
    }


def _resnet(name):
    """`conv2_block1_1_conv/kernel`, as in keras.applications today."""
    layer, _, variable = name.rpartition("/")
    if re.fullmatch(r"(conv1|conv\d_block\d_\d)_(conv|bn)|predictions", layer):
        return _headed(layer, "predictions", variable)
    return None


def _old_resnet(name):
    """`res2a_branch2b/kernel`, as in keras.applications until 2018."""
    if re.fullmatch(r"conv1/\w+", name):
        return name.replace("conv1/", "conv1_conv/")
    match = _OLD_RESNET.fullmatch(name)
    if not match:
        return None
    kind, stage, block, branch, letter, variable = match.groups()
    if kind == "fc":
        return _headed("fc1000", f"fc{stage}", variable)
    if stage == "_conv1":
        return f"conv1_bn/{variable}"
    number = 0 if branch == "1" else "abc".find(letter) + 1
    block = "abcdef".find(block) + 1
    kind = "conv" if kind == "res" else "bn"
    return f"conv{stage}_block{block}_{number}_{kind}/{variable}"


def _vgg(name):
    """`block1_conv1/kernel` and `fc1/kernel`, as in keras.applications."""
    layer = name.rpartition("/")[0]
    known = re.fullmatch(r"block\d_conv\d|fc[12]|predictions", layer)
    return name if known else None


def _headed(layer, head, variable):
    return f"{HEAD if layer == head else layer}/{variable}"


_MAPS = {
    "i3d": _by_patterns(_flax_i3d, _sonnet_i3d),
    "inception_v3": _inception,
    "resnet50": _by_patterns(_resnet, _old_resnet),
    "vgg16": _by_patterns(_vgg),
}
