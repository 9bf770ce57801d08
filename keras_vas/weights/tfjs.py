"""Reads a network in the layers format of TensorFlow.js.

```
FOLDER/model.json           topology, and a list of the weights
FOLDER/group1-shard1of1     their numbers, one after the other
```

The numbers lie in the files that `paths` names, or joined in one file
`weights.bin`. A quantised number q stands for q * scale + min.
"""

import hashlib
import json
import math
import pathlib

import numpy as np

from keras_vas.errors import UserError
from keras_vas.weights.graph_pairs import graph_of_json

_DTYPES = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2", "float32": "<f4"}


def read(folder):
    """Reads arrays and topology.

    Args:
        folder: the folder with `model.json`.

    Returns:
        `(arrays, graph, sha256)`: dict of `layer/variable` to float32 array;
        the graph of `graph_pairs`; the SHA-256 of all numbers, joined.

    Raises:
        UserError: a file is missing, is something else, or is too short or
            too long.
    """
    folder = pathlib.Path(folder)
    try:
        model = json.loads((folder / "model.json").read_text())
        config = model["modelTopology"]["model_config"]["config"]
        graph = graph_of_json(config["layers"])
        groups = [
            (group["paths"], [_entry(weight) for weight in group["weights"]])
            for group in model["weightsManifest"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'model.json'} is no network of TensorFlow.js in its "
            f"layers format ({type(error).__name__}: {error})"
        ) from error
    joined = folder / "weights.bin"
    names = [name for paths, _ in groups for name in paths]
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        data = b"".join((folder / name).read_bytes() for name in names)
    elif joined.is_file():
        data = joined.read_bytes()
    else:
        raise UserError(
            f"{folder} lacks {missing[0]}, which its model.json names; put "
            "the files of weights beside it, or joined into weights.bin"
        )
    entries = [entry for _, weights in groups for entry in weights]
    arrays = _arrays(data, entries, folder)
    return arrays, graph, hashlib.sha256(data).hexdigest()


def _entry(weight):
    """`(name, shape, dtype, scale, min)` of one array."""
    coded = weight.get("quantization", {})
    dtype = np.dtype(_DTYPES[coded.get("dtype", weight["dtype"])])
    scale, least = coded.get("scale", 1.0), coded.get("min", 0.0)
    return weight["name"], weight["shape"], dtype, scale, least


def _arrays(data, entries, folder):
    arrays, start = {}, 0
    for name, shape, dtype, scale, least in entries:
        count = math.prod(shape)
        end = start + count * dtype.itemsize
        if end <= len(data):
            values = np.frombuffer(data, dtype, count, start)
            values = values.astype(np.float64) * scale + least
            arrays[name] = values.astype(np.float32).reshape(shape)
        start = end
    if start != len(data):
        raise UserError(
            f"the weights in {folder} are {len(data):,} bytes instead of the "
            f"{start:,} that model.json lists; get all files again"
        )
    return arrays
