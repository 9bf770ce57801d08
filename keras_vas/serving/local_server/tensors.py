"""Bodies of predict requests to arrays and back, in bounded memory.

Numbers go from their text straight into an array, and strings are counted
before they are made: parsed as a whole, a body takes up to 25 times its length.
"""

import base64

import msgspec
import numpy as np
import orjson
import tensorflow as tf

MAX_MARKS = 1 << 17
MAX_ANSWER_VALUES = 1 << 24


class _Request(msgspec.Struct):
    signature_name: str = "serving_default"
    inputs: dict[str, msgspec.Raw] | None = None
    instances: list[dict[str, msgspec.Raw]] = []


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    b64: bytes


def read(body, signatures, max_rows):
    """Reads a request by rows (`instances`) or by columns (`inputs`).

    Args:
        body: bytes-like, JSON.
        signatures: dict of name -> `SignatureDef` of whole numbers and strings.
        max_rows: largest first dimension of an input.

    Returns:
        The `SignatureDef`; dict of input name -> array (of `bytes` objects for
        strings); whether the request is by rows.

    Raises:
        ValueError: the body is something else.
    """
    if max(map(body.count, b'"{')) > MAX_MARKS:
        raise ValueError(f"more than {MAX_MARKS} quotation marks or objects")
    request = msgspec.json.decode(body, type=_Request)
    signature = signatures.get(request.signature_name)
    by_rows = request.inputs is None
    if signature is None or by_rows != bool(request.instances):
        raise ValueError(
            "give either instances or inputs, and as signature_name one of "
            f"{', '.join(signatures)}"
        )
    items = request.instances if by_rows else [request.inputs]
    if any(item.keys() != signature.inputs.keys() for item in items):
        raise ValueError(f"give just the inputs {', '.join(signature.inputs)}")
    arrays = {}
    for name, info in signature.inputs.items():
        dtype = tf.as_dtype(info.dtype).as_numpy_dtype
        rank = len(info.tensor_shape.dim) - by_rows
        parse = _strings if dtype is object else _numbers
        try:
            parts = [parse(bytes(x[name]), dtype, rank) for x in items]
            array = arrays[name] = np.stack(parts) if by_rows else parts[0]
        except ValueError as error:
            raise ValueError(f"input {name}: {error}") from error
        if array.ndim and len(array) > max_rows:
            raise ValueError(f"input {name} has more than {max_rows} rows")
    return signature, arrays, by_rows


def _strings(text, dtype, rank):
    if text.count(b"[") > MAX_MARKS:
        raise ValueError(f"more than {MAX_MARKS} lists")
    kind = str | _Base64
    for _ in range(rank):
        kind = list[kind]
    array = np.array(msgspec.json.decode(text, type=kind), dtype)
    if array.ndim != rank:
        raise ValueError("lists of different lengths")
    flat = [x.encode() if isinstance(x, str) else x.b64 for x in array.flat]
    return np.array(flat, dtype).reshape(array.shape)


def _numbers(text, dtype, rank):
    text = text.translate(None, b" \t\r\n")
    skeleton = text.translate(None, b"-0123456789")
    shape, row = [], b""
    for depth in range(1, rank + 1):
        # the first list of this depth holds so many of the rows so far
        length = skeleton.find(b"]" * depth) + 2 * depth - 2 - rank
        shape.insert(0, (length + 1) // (len(row) + 1))
        row = b"[%b]" % ((row + b",") * shape[0])[:-1]
    if skeleton != row or b"[]" in text or 0 in shape:
        raise ValueError(f"not whole numbers in {rank}-fold lists, all even")
    values = np.fromstring(text.translate(None, b"[]"), np.int64, sep=",")
    array = values.astype(dtype)
    if (array != values).any():
        raise ValueError(f"a number beyond {array.dtype}")
    return array.reshape(shape)


def write(outputs, by_rows):
    """Writes an answer by rows (`predictions`) or by columns (`outputs`).

    Args:
        outputs: dict of output name -> array. Strings become base64 where the
            name ends in `_bytes`, else they are UTF-8.
        by_rows: bool.

    Returns:
        `bytes`.

    Raises:
        ValueError: there are too many values.
    """
    values = sum(array.size for array in outputs.values())
    if values > MAX_ANSWER_VALUES:
        raise ValueError(f"{values} values are too many; ask for fewer at once")
    for name, array in outputs.items():
        if array.dtype == object:
            text = _base64 if name.endswith("_bytes") else bytes.decode
            outputs[name] = np.frompyfunc(text, 1, 1)(array)
    answer = {"outputs": outputs}
    if by_rows:
        count = len(next(iter(outputs.values())))
        rows = [{k: x[i] for k, x in outputs.items()} for i in range(count)]
        answer = {"predictions": rows}
    return orjson.dumps(answer, np.ndarray.tolist, orjson.OPT_SERIALIZE_NUMPY)


def _base64(value):
    return {"b64": base64.b64encode(value).decode()}
