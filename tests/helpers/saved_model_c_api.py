"""A SavedModel in TensorFlow's C++ loader, which TF Serving uses too.

Nothing here goes through TensorFlow's Python: `TF_LoadSessionFromSavedModel`
and `TF_SessionRun` of the C interface are called through ctypes.
"""

import ctypes
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

_TYPES = {1: np.float32, 4: np.uint8}
_UINT8, _STRING, _STRING_BYTES = 4, 7, 24
_FOLDER = pathlib.Path(tf.__file__).parent
_C = ctypes.CDLL(str(next(_FOLDER.glob("libtensorflow_cc.so*"))))


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def _function(name, result, *arguments):
    function = getattr(_C, name)
    function.restype, function.argtypes = result, arguments
    return function


_P, _N, _I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_S, _L = ctypes.c_char_p, ctypes.c_int64
_new_status = _function("TF_NewStatus", _P)
_code = _function("TF_GetCode", _I, _P)
_message = _function("TF_Message", _S, _P)
_new_graph = _function("TF_NewGraph", _P)
_new_options = _function("TF_NewSessionOptions", _P)
_new_buffer = _function("TF_NewBuffer", ctypes.POINTER(_Buffer))
_load = _function(
    "TF_LoadSessionFromSavedModel", _P, _P, _P, _S, ctypes.POINTER(_S), _I,
    _P, ctypes.POINTER(_Buffer), _P,
)  # fmt: skip
_operation = _function("TF_GraphOperationByName", _P, _P, _S)
_run = _function(
    "TF_SessionRun", None, _P, _P, ctypes.POINTER(_Output),
    ctypes.POINTER(_P), _I, ctypes.POINTER(_Output), ctypes.POINTER(_P), _I,
    _P, _I, _P, _P,
)  # fmt: skip
_allocate = _function("TF_AllocateTensor", _P, _I, ctypes.POINTER(_L), _I, _N)
_data = _function("TF_TensorData", _P, _P)
_type = _function("TF_TensorType", _I, _P)
_rank = _function("TF_NumDims", _I, _P)
_size = _function("TF_Dim", _L, _P, _I)
_delete = _function("TF_DeleteTensor", None, _P)
_string_init = _function("TF_StringInit", None, _P)
_string_copy = _function("TF_StringCopy", None, _P, _S, _N)
_string_data = _function("TF_StringGetDataPointer", _P, _P)
_string_size = _function("TF_StringGetSize", _N, _P)


class InvalidArgumentError(Exception):
    """The session refused an input."""


class Session:
    """A loaded SavedModel.

    Args:
        folder: path of the SavedModel.

    Attributes:
        meta_graph: its `MetaGraphDef`.
    """

    def __init__(self, folder):
        self._status, self._graph = _new_status(), _new_graph()
        buffer = _new_buffer()
        self._session = _load(
            _new_options(), None, str(folder).encode(), (_S * 1)(b"serve"), 1,
            self._graph, buffer, self._status,
        )  # fmt: skip
        self._check()
        content = ctypes.string_at(buffer[0].data, buffer[0].length)
        self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(content)

    def run(self, signature, **inputs):
        """Runs a signature on uint8 arrays and lists of `bytes`."""
        signature = self.meta_graph.signature_def[signature]
        names = list(signature.outputs)
        feeds = [self._place(signature.inputs[name].name) for name in inputs]
        fetches = [self._place(signature.outputs[name].name) for name in names]
        values = [_to_tensor(value) for value in inputs.values()]
        results = (_P * len(names))()
        _run(
            self._session, None,
            (_Output * len(feeds))(*feeds), (_P * len(values))(*values),
            len(feeds), (_Output * len(fetches))(*fetches), results,
            len(names), None, 0, None, self._status,
        )  # fmt: skip
        for value in values:
            _delete(value)
        self._check()
        return {
            name: _to_array(result)
            for name, result in zip(names, results, strict=True)
        }

    def _place(self, name):
        operation, index = name.split(":")
        return _Output(_operation(self._graph, operation.encode()), int(index))

    def _check(self):
        code = _code(self._status)
        if code == 3:
            raise InvalidArgumentError(_message(self._status).decode())
        if code:
            raise RuntimeError(_message(self._status).decode())


def _to_tensor(value):
    array = np.asarray(value)
    if array.dtype == np.uint8:
        code, count = _UINT8, array.nbytes
    else:
        array = np.asarray(value, object)
        code, count = _STRING, _STRING_BYTES * array.size
    shape = (_L * array.ndim)(*array.shape)
    tensor = _allocate(code, shape, array.ndim, count)
    if code == _UINT8:
        ctypes.memmove(_data(tensor), array.tobytes(), count)
        return tensor
    for i, text in enumerate(array.reshape(-1)):
        place = _data(tensor) + i * _STRING_BYTES
        _string_init(place)
        _string_copy(place, text, len(text))
    return tensor


def _to_array(tensor):
    shape = [_size(tensor, axis) for axis in range(_rank(tensor))]
    count = int(np.prod(shape))
    if _type(tensor) == _STRING:
        places = [_data(tensor) + i * _STRING_BYTES for i in range(count)]
        flat = np.array(
            [
                ctypes.string_at(_string_data(p), _string_size(p))
                for p in places
            ],
            object,
        )
    else:
        dtype = np.dtype(_TYPES[_type(tensor)])
        content = ctypes.string_at(_data(tensor), count * dtype.itemsize)
        flat = np.frombuffer(content, dtype)
    _delete(tensor)
    return flat.reshape(shape)
