"""Reads the tensors of a PyTorch checkpoint without running anything in it.

    FILE            zip archive, as torch.save writes since PyTorch 1.6
      NAME/data.pkl   a pickle: dicts, lists, numbers; a tensor is a call of
                      _rebuild_tensor_v2 with its storage, offset and strides
      NAME/data/KEY   the numbers of a storage

The pickle is followed by `data.pickles`, which knows of PyTorch what stands in
`_NAMES` alone.
"""

import math
import posixpath
import zipfile

import numpy as np

from keras_vas import packed_files
from keras_vas.data import pickles

_STEPS = 1_000_000
_STATE = "state_dict"
_PARALLEL = "module."
_DTYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8",
    "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip


class _Storage:
    """Stands for numbers in a member of the archive."""

    def __init__(self, place):
        kind, dtype, self.key, _, self.count = place
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ValueError("a storage is described in an unknown way")
        if not (isinstance(self.key, str) and self.key.isdigit()):
            raise ValueError("a storage has an unknown name")
        self.dtype = dtype


class _Tensor:
    """Stands for a tensor, a view of a storage."""

    def __init__(self, storage, offset, shape, strides, *_):
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or len(shape) != len(strides):
            raise ValueError("a tensor is made in an unknown way")
        if any(type(x) is not int or x < 0 for x in numbers):
            raise ValueError("a tensor has an unknown shape")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = shape, strides

    def array(self, data):
        """Its array, of the bytes of its storage."""
        numbers = np.frombuffer(data, self.storage.dtype)
        last = self.offset + sum(
            (length - 1) * stride
            for length, stride in zip(self.shape, self.strides, strict=True)
        )
        if math.prod(self.shape) > len(numbers) or last >= len(numbers):
            raise ValueError("a tensor is larger than its storage")
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            [x * numbers.itemsize for x in self.strides],
            writeable=False,
        )


class _Dict(dict):
    """Stands for an ordered dict, whose attributes do not matter."""

    def __init__(self):
        super().__init__()

    def set(self, *_):
        """Takes its attributes."""


_NAMES = {
    "collections OrderedDict": _Dict,
    "torch._utils _rebuild_tensor_v2": _Tensor,
    **{f"torch {x}Storage": np.dtype(y) for x, y in _DTYPES.items()},
}


def read(path):
    """Reads a checkpoint.

    Args:
        path: of a file of torch.save: a dict of tensors, or a dict with such
            a dict as `state_dict`.

    Returns:
        Dict of name to array, without the `module.` of a parallel training.

    Raises:
        UserError: there is no such file, it is damaged, older than PyTorch
            1.6, or holds something else.
    """
    with packed_files.reading(
        path,
        "checkpoint of PyTorch",
        "get it again, or save it with PyTorch "
        "1.6 or later: torch.save({'state_dict': state_dict}, FILE)",
    ):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        (pickled,) = (x for x in names if x.endswith("/data.pkl"))
        (data,) = packed_files.read_zip(path, [pickled]).values()
        found = pickles.follow(
            data,
            steps=_STEPS,
            known=_NAMES,
            callables=(_Dict, _Tensor),
            fillable=(_Dict,),
            persistent=_Storage,
        )
        state = found.get(_STATE, found)
        if not state or not all(isinstance(x, _Tensor) for x in state.values()):
            raise ValueError(f"it holds no {_STATE} of tensors")
        folder = posixpath.dirname(pickled)
        members = {
            x.storage.key: f"{folder}/data/{x.storage.key}"
            for x in state.values()
        }
        contents = packed_files.read_zip(path, members.values())
        parallel = all(name.startswith(_PARALLEL) for name in state)
        return {
            name.removeprefix(_PARALLEL if parallel else ""): tensor.array(
                contents[members[tensor.storage.key]]
            )
            for name, tensor in state.items()
        }
