"""Requests and answers of TensorFlow Serving's predict method as arrays.

A request is a JSON object that holds its tensors either by rows
(`"instances"`, one item an example) or by columns (`"inputs"`, one item a
tensor); the answer has the same form. A string that is binary is written as
`{"b64": "..."}`. The wording of the errors is that of TensorFlow Serving, so
that a client meets the same words here and there, except that a value is cut
after 200 characters.

NumPy alone; types have TensorFlow's names ("float", "uint8", "string").
"""

import base64
import binascii
import dataclasses
import itertools
import json
import math

import numpy as np

from keras_vas.serving.local_server.request_error import RequestError

DEFAULT_SIGNATURE = "serving_default"
MAX_ANSWER_VALUES = 1 << 24

_BYTES_SUFFIX = "_bytes"
_SHOWN = 200
_MAX_RANK = 32
_DTYPES = {
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "string": np.object_,
}
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": (
        "Missing a name for object member."
    ),
    "Illegal trailing comma before end of object": (
        "Missing a name for object member."
    ),
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma after a member or an element.",
    "Unterminated string starting at": (
        "Missing a closing quotation mark in string."
    ),
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": (
        "Incorrect hex digit after \\u escape in string."
    ),
    "Extra data": "The document root must not be followed by other values.",
}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """What a signature expects of one input.

    Attributes:
        dtype: TensorFlow's name of the type.
        shape: tuple of ints, `None` for any; or `None` for any rank.
    """

    dtype: str
    shape: tuple | None


def parse(body):
    """Parses the body of a request.

    Args:
        body: `bytes` of a JSON object; NaN and Infinity are allowed.

    Returns:
        The object as a dict.

    Raises:
        RequestError: it is no JSON object, or its signature_name no string.
    """
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8")
        document = json.loads(text)
    except UnicodeDecodeError as error:
        raise _parse_error(
            "Invalid encoding in string.", error.start
        ) from error
    except json.JSONDecodeError as error:
        reason = _PARSE_ERRORS.get(error.msg, f"{error.msg}.")
        offset = len(text[: error.pos].encode())
        raise _parse_error(reason, offset) from error
    except RecursionError as error:
        raise _parse_error("The lists are nested too deep.", 0) from error
    except ValueError as error:  # an integer of thousands of digits
        raise _parse_error("Number too big to be stored.", 0) from error
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {_shown(document)} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise RequestError(
            f"JSON Value: {_shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return document


def read_inputs(document, specs):
    """Takes the tensors of a signature out of a request.

    Args:
        document: dict that `parse` returned.
        specs: dict of input name -> `TensorSpec`.

    Returns:
        Pair of the tensors, a dict of input name -> array (strings are
        object arrays of `bytes`), and whether the request is by rows.

    Raises:
        RequestError: a tensor is missing, ragged, or of another type.
    """
    by_rows, by_columns = "instances" in document, "inputs" in document
    if by_rows and by_columns:
        raise RequestError(
            f"JSON Value: {_shown(document)} Not formatted correctly expecting "
            "only one of 'inputs' or 'instances' keys to exist "
        )
    if by_rows:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise RequestError(
                f"JSON Value: {_shown(document)} Excepting 'instances' to be "
                "an list/array"
            )
        if not instances:
            raise RequestError(
                f"JSON Value: {_shown(document)} No values in 'instances' array"
            )
        return _read_rows(instances, specs), True
    if by_columns:
        return _read_columns(document["inputs"], specs), False
    raise RequestError("Missing 'inputs' or 'instances' key")


def write_outputs(outputs, by_rows):
    """Writes the tensors that a signature returned as an answer.

    Args:
        outputs: dict of output name -> array. Strings whose name ends in
            "_bytes" are written as base64.
        by_rows: whether the request was by rows.

    Returns:
        `bytes` of a JSON object with the key "predictions" or "outputs".

    Raises:
        RequestError: the tensors have no common number of rows, or are too
            large for an answer in JSON.
    """
    values = sum(array.size for array in outputs.values())
    if values > MAX_ANSWER_VALUES:
        raise RequestError(
            f"the answer would hold {values} values, more than "
            f"{MAX_ANSWER_VALUES}; ask for fewer at once"
        )
    if by_rows:
        _check_rows(outputs)
    lists = {
        name: _as_lists(array, name.endswith(_BYTES_SUFFIX))
        for name, array in sorted(outputs.items())
    }
    single = next(iter(lists.values())) if len(lists) == 1 else None
    if not by_rows:
        answer = {"outputs": lists if single is None else single}
    elif single is not None:
        answer = {"predictions": single}
    else:
        rows = zip(*lists.values(), strict=True)
        answer = {
            "predictions": [dict(zip(lists, row, strict=True)) for row in rows]
        }
    return json.dumps(answer).encode()


def _check_rows(outputs):
    expected = None
    for name, array in sorted(outputs.items()):
        if array.ndim == 0:
            raise RequestError(f"Tensor name: {name} has no shape information ")
        if expected is not None and len(array) != expected:
            raise RequestError(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{len(array)} expecting: {expected}"
            )
        expected = len(array)


def _as_lists(array, binary):
    if array.dtype != np.object_:
        return array.tolist()
    if binary:
        values = [
            {"b64": base64.b64encode(value).decode()} for value in array.flat
        ]
    else:
        values = [value.decode("utf-8", "replace") for value in array.flat]
    nested = np.empty(array.shape, np.object_)
    nested.flat = values
    return nested.tolist()


def _read_columns(inputs, specs):
    if not isinstance(inputs, dict) or _is_base64(inputs):
        if len(specs) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as "
                "multiple input tensors required as per tensorinfo_map"
            )
        inputs = {name: inputs for name in specs}
    for name in specs:
        if name not in inputs:
            raise RequestError(
                f"Missing named input: {name} in 'inputs' object."
            )
    tensors = {}
    for name, spec in specs.items():
        shape, values = _flat(inputs[name], spec.dtype)
        tensors[name] = _array(name, values, shape, spec)
    return tensors


def _read_rows(instances, specs):
    named = _is_named(instances[0])
    if not named and len(specs) > 1:
        raise RequestError(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        )
    shapes, values = {}, {name: [] for name in specs}
    for number, item in enumerate(instances):
        if named != _is_named(item):
            raise RequestError(
                f"Expecting object but got list at item {number} of input list"
                if named
                else "Expecting value/list but got object at item "
                f"{number} of input list"
            )
        items = item if named else {name: item for name in specs}
        for name, value in items.items():
            key = f" key: {name}" if named else ""
            try:
                shape, flat = _read_item(name, value, specs, shapes)
            except RequestError as error:
                raise RequestError(
                    f"Failed to process element: {number}{key} of 'instances' "
                    f"list. Error: {error.code}: {error.message}"
                ) from error
            shapes[name] = shape
            values[name] += flat
        if items.keys() != specs.keys():
            raise RequestError(
                f"Failed to process element: {number} of 'instances' list. "
                f"JSON object: {_shown(item)} keys must be equal to: "
                f"{','.join(sorted(specs))}"
            )
    return {
        name: _array(name, values[name], (len(instances), *shapes[name]), spec)
        for name, spec in specs.items()
    }


def _read_item(name, value, specs, shapes):
    if name not in specs:
        raise RequestError(f"JSON object: does not have named input: {name}")
    shape, flat = _flat(value, specs[name].dtype)
    expected = shapes.get(name, shape)
    if int(np.prod(expected)) != len(flat):
        raise RequestError(
            f"Expecting tensor size: {int(np.prod(expected))} but got: "
            f"{len(flat)}"
        )
    if expected != shape:
        raise RequestError(
            f"Expecting shape {_shape_text(expected)} but got: "
            f"{_shape_text(shape)}"
        )
    return shape, flat


def _flat(value, dtype):
    """Returns the shape of nested lists and their values in one list."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    items = [value]
    for level, size in enumerate(shape):
        if set(map(type, items)) - {list}:
            stray = next(i for i in items if not isinstance(i, list))
            raise RequestError(
                f"JSON Value: {_shown(stray)} found at incorrect level: "
                f"{level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            )
        if set(map(len, items)) - {size}:
            other = next(len(i) for i in items if len(i) != size)
            raise RequestError(
                f"Encountered list at unexpected size: {other} at level: "
                f"{level} expected size: {size}"
            )
        items = list(itertools.chain.from_iterable(items))
    if list in set(map(type, items)):
        raise RequestError(
            f"Encountered list at unexpected level: {len(shape)} expected < "
            f"{len(shape)}"
        )
    return tuple(shape), _checked(items, dtype)


def _checked(items, dtype):
    if dtype == "string":
        return [_string(item) for item in items]
    if dtype not in _DTYPES:
        raise RequestError(
            f"Conversion of JSON Value: {_shown(items[:1])} to type: {dtype}",
            "UNIMPLEMENTED",
        )
    kind = np.dtype(_DTYPES[dtype]).kind
    allowed = {"b": {bool}, "f": {int, float}}.get(kind, {int})
    if set(map(type, items)) - allowed:
        stray = next(item for item in items if type(item) not in allowed)
        raise _type_error(stray, dtype)
    if kind in "iu" and items:
        limits = np.iinfo(_DTYPES[dtype])
        for extreme in (min(items), max(items)):
            if not limits.min <= extreme <= limits.max:
                raise _type_error(extreme, dtype)
    return items


def _string(item):
    if isinstance(item, dict):
        return _decode_base64(item)
    if not isinstance(item, str):
        raise _type_error(item, "string")
    try:
        return item.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from error


def _decode_base64(item):
    if not _is_base64(item):
        raise RequestError(
            f"JSON Value: {_shown(item)} not formatted correctly for base64 "
            "data"
        )
    text = "".join(item["b64"].split())
    bare = text.rstrip("=")
    try:
        if len(text) - len(bare) > 2:
            raise binascii.Error("too much padding")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError as error:
        raise RequestError("Unable to base64 decode") from error


def _array(name, values, shape, spec):
    if not _fits(shape, spec.shape):
        expected = [-1 if n is None else n for n in spec.shape or ()]
        raise RequestError(
            f"input {name} must have shape {_shape_text(expected)}, -1 for "
            f"any size. Received: {_shape_text(shape[:_MAX_RANK])}"
        )
    dtype = np.dtype(_DTYPES[spec.dtype])
    if dtype.kind == "f":
        _check_lossless(values, spec.dtype)
    array = np.empty(len(values), dtype)
    array[:] = values
    return array.reshape(shape)


def _check_lossless(values, name):
    """Refuses integers that are rounded and numbers that become infinite."""
    limits = np.finfo(_DTYPES[name])
    largest = {int: 2 ** (limits.nmant + 1) - 1, float: float(limits.max)}
    for value in values:
        if abs(value) > largest[type(value)] and not _is_infinite(value):
            raise RequestError(
                f"Cannot convert JSON value: {_shown(value)} to "
                f"{name} without loss of precision."
            )


def _is_infinite(value):
    return isinstance(value, float) and math.isinf(value)


def _fits(shape, expected):
    if expected is None:
        return len(shape) <= _MAX_RANK
    return len(shape) == len(expected) and all(
        e in (None, n) for n, e in zip(shape, expected, strict=True)
    )


def _is_base64(value):
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def _is_named(value):
    return isinstance(value, dict) and not _is_base64(value)


def _type_error(value, dtype):
    name = {dict: "Object", list: "Array", str: "String", bool: str(value)}
    kind = name.get(type(value), "Null" if value is None else "Number")
    return RequestError(
        f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: "
        f"{dtype}"
    )


def _parse_error(reason, offset):
    return RequestError(f"JSON Parse error: {reason} at offset: {offset}")


def _shape_text(shape):
    return f"[{','.join(map(str, shape))}]"


def _shown(value):
    text = ""
    try:
        for part in json.JSONEncoder().iterencode(value):
            text += part
            if len(text) > _SHOWN:
                return f"{text[:_SHOWN]}..."
    except RecursionError:
        return f"{text[:_SHOWN]}..."
    return text
