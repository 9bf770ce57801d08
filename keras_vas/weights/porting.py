"""Published weights into our layers, checked before anything is saved.

A ported file is an `.npz` of float32 arrays under our names (`names`), with
the entry `keras_vas_weights`, a JSON text that says of what architecture they
are and where they came from.
"""

import dataclasses
import json
import pathlib

import numpy as np

from keras_vas import files, packed_files
from keras_vas.errors import UserError
from keras_vas.weights import containers, names, networks, stock_networks

_METADATA = "keras_vas_weights"


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of one architecture under our names.

    Attributes:
        architecture: name of a backbone.
        arrays: dict of `layer/variable` to float32 array; with `head/kernel`
            and `head/bias` where the source had them.
        source: path or address that they first came from.
        form: in which form, see `containers`.
        sha256: of that file, or None.
    """

    architecture: str
    arrays: dict
    source: str
    form: str
    sha256: str | None

    @property
    def trunk(self):
        """`arrays` without the head."""
        return {
            name: array
            for name, array in self.arrays.items()
            if not name.startswith(f"{names.HEAD}/")
        }


def read(source, architecture):
    """Reads weights in any accepted form, a ported file included.

    Args:
        source: path, or address of a TensorFlow Hub module.
        architecture: name of a backbone.

    Returns:
        `Weights`.

    Raises:
        UserError: it is not there, damaged, or of another architecture.
    """
    container = containers.read(source)
    arrays = container.arrays
    told = arrays.pop(_METADATA, None)
    if told is not None:
        told = _origin(told, source)
        if told["architecture"] != architecture:
            raise UserError(
                f"{source} holds weights of {told['architecture']}, not of "
                f"{architecture}"
            )
        own = {name: name for name in arrays}
    else:
        if container.form == "h5" and _needs_keras(arrays, architecture):
            arrays = stock_networks.arrays(
                stock_networks.load(architecture, source)
            )
        told = {
            "architecture": architecture,
            "source": container.source,
            "form": container.form,
            "sha256": container.sha256,
        }
        own = names.own_names(arrays, architecture)
    told["arrays"] = names.fit(arrays, own, architecture, source)
    return Weights(**told)


def _origin(text, source):
    """What the metadata of a ported file says of it."""
    with packed_files.reading(source, "ported file", "port it again"):
        told = json.loads(str(text))
        fields = {field.name for field in dataclasses.fields(Weights)}
        if told.keys() != fields - {"arrays"}:
            raise ValueError(f"its metadata has {len(told)} entries")
        return told


def _needs_keras(arrays, architecture):
    """Whether an HDF5 file does not say of which layer its arrays are.

    It names layers by numbers, as of Inception V3, or by their class, as a
    weights file of Keras 3 does.
    """
    return architecture in stock_networks.ARCHITECTURES and (
        architecture == "inception_v3"
        or any(name.startswith("layers/") for name in arrays)
    )


def assign(model, prefix, weights):
    """Gives a backbone its weights and compares them one by one.

    Args:
        model: a network that holds the backbone.
        prefix: the backbone's name there, such as `spatial_backbone`.
        weights: `Weights` of its architecture.

    Raises:
        UserError: the backbone has other variables or shapes, as one of
            another width has. Nothing has changed then. One with fewer
            stages takes what it has.
    """
    variables = networks.variables(model, prefix)
    trunk = weights.trunk
    if not variables or not variables.keys() <= trunk.keys():
        raise UserError(
            f"{prefix} is no {weights.architecture}, of which "
            f"{weights.source} holds the weights"
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != trunk[name].shape:
            raise UserError(
                f"{prefix} has another width than the published network: "
                f"{name} is of shape {tuple(variable.shape)} instead of "
                f"{trunk[name].shape}; pretrained weights need --width=1"
            )
    for name, variable in variables.items():
        variable.assign(trunk[name])
    changed = [
        name
        for name, variable in variables.items()
        if not np.array_equal(variable.numpy(), trunk[name])
    ]
    if changed:
        raise RuntimeError(f"weights have not arrived: {', '.join(changed)}")


def save(path, weights):
    """Writes a ported file, after a trial of the weights in their network.

    Args:
        path: the `.npz` to write; whatever stands there is replaced.
        weights: `Weights`.
    """
    assign(networks.build(weights.architecture), networks.PREFIX, weights)
    told = {
        field.name: getattr(weights, field.name)
        for field in dataclasses.fields(weights)
        if field.name != "arrays"
    }
    path = pathlib.Path(path)
    with files.atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            text = np.array(json.dumps(told))
            np.savez(file, **{_METADATA: text}, **weights.arrays)
        written = read(temporary, weights.architecture)
        if any(
            not np.array_equal(written.arrays[name], array)
            for name, array in weights.arrays.items()
        ):
            raise RuntimeError(f"{path} was not written as it should")
