"""Plain HTTP for the tests of serving, without the project's client."""

import base64
import http.client
import json
import urllib.parse

import cv2
import numpy as np


def ask(url, method, path, body=None, headers=None, timeout=30):
    """Returns the status and the parsed answer of one request."""
    connection = http.client.HTTPConnection(
        urllib.parse.urlsplit(url).netloc, timeout=timeout
    )
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    assert answer.headers["Content-Type"] == "application/json", data
    return answer.status, json.loads(data)


def clip(seed=0, time=8, height=12, width=20):
    """Noise, uint8 (time, height, width, 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (time, height, width, 3), np.uint8)


def png(image):
    """Lossless, so that the server sees the very same values."""
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def pictures(frames):
    return [b64(png(frame)) for frame in frames]


PICTURE = b64(png(np.zeros((8, 8, 3), np.uint8)))


def row(frames=None, query="a dog"):
    return {
        "frames": [PICTURE] * 8 if frames is None else frames,
        "query": query,
    }


def jpeg_request(*rows, signature="segment_jpeg"):
    return {"signature_name": signature, "instances": list(rows)}


def default_request(frames):
    return {"inputs": {"frames": frames, "query": ["a"]}}


# name: (body of a predict request, what the reason says)
REFUSED_BODIES = {
    "empty": (b"", "JSON Parse error: The document is empty"),
    "no JSON": (b"{", "JSON Parse error: Missing a name for object member."),
    "cut off": (b'{"instances": [1', "JSON Parse error: Missing a comma"),
    "no object": (b"[1]", "Is not object"),
    "no tensors": ({}, "Missing 'inputs' or 'instances' key"),
    "both forms": (
        {"inputs": 1, "instances": [1]},
        "only one of 'inputs' or 'instances' keys to exist",
    ),
    "instances no list": (
        {"instances": 3},
        "Excepting 'instances' to be an list/array",
    ),
    "no instance": ({"instances": []}, "No values in 'instances' array"),
    "unknown signature": (
        {"signature_name": "nope", "instances": [1]},
        'Serving signature name: "nope" not found in signature def',
    ),
    "signature no string": (
        {"signature_name": 5, "instances": [1]},
        "'signature_name' key must be a string value.",
    ),
    "plain list": (
        jpeg_request("a"),
        "instances is a plain list, but expecting list of objects as multiple "
        "input tensors required as per tensorinfo_map",
    ),
    "objects and lists": (
        jpeg_request(row(), [1]),
        "Expecting object but got list at item 1 of input list",
    ),
    "missing key": (
        jpeg_request({"frames": [PICTURE]}),
        "keys must be equal to: frames,query",
    ),
    "unknown key": (
        jpeg_request(row() | {"extra": 1}),
        "JSON object: does not have named input: extra",
    ),
    "ragged frame counts": (
        jpeg_request(row([PICTURE] * 3), row([PICTURE] * 2)),
        "Failed to process element: 1 key: frames of 'instances' list. Error: "
        "INVALID_ARGUMENT: Expecting tensor size: 3 but got: 2",
    ),
    "inputs without a name": (
        {"signature_name": "segment_jpeg", "inputs": [1]},
        "inputs is a plain value/list, but expecting an object",
    ),
    "inputs without query": (
        {"signature_name": "segment_jpeg", "inputs": {"frames": [[PICTURE]]}},
        "Missing named input: query in 'inputs' object.",
    ),
    "invalid base64": (
        jpeg_request(row([{"b64": "!!!"}])),
        "Unable to base64 decode",
    ),
    "base64 of a number": (
        jpeg_request(row([{"b64": 5}])),
        "not formatted correctly for base64 data",
    ),
    "query a number": (
        jpeg_request(row(query=5)),
        "JSON Value: 5 Type: Number is not of expected type: string",
    ),
    "query null": (
        jpeg_request(row(query=None)),
        "JSON Value: null Type: Null is not of expected type: string",
    ),
    "NaN in a frame": (
        default_request([[[[[float("nan"), 0, 0]]]]]),
        "JSON Value: NaN Type: Number is not of expected type: uint8",
    ),
    "a fraction in a frame": (
        default_request([[[[[0, 1.5, 0]]]]]),
        "JSON Value: 1.5 Type: Number is not of expected type: uint8",
    ),
    "ragged rows": (
        default_request([[[[[1, 2, 3], [1, 2, 3]], [[1, 2, 3]]]]]),
        "Encountered list at unexpected size: 1 at level: 3 expected size: 2",
    ),
    "a number among lists": (
        default_request([[[[[1, 2, 3], 7]]]]),
        "JSON Value: 7 found at incorrect level: 5 in the JSON DOM. "
        "Expected at level: 5",
    ),
    "a list among numbers": (
        default_request([[[[[1, 2, [3]]]]]]),
        "Encountered list at unexpected level: 5 expected < 5",
    ),
    "no picture": (jpeg_request(row([b64(b"hello")] * 8)), ""),
    "half a picture": (
        jpeg_request(row([b64(png(clip()[0])[:40])] * 8)),
        "",
    ),
}
# name: (method, path with {model}, status, what the reason says)
REFUSED_PATHS = {
    "GET predict": (
        "GET",
        "/v1/models/{model}:predict",
        400,
        "Malformed request: GET /v1/models/{model}:predict",
    ),
    "POST status": (
        "POST",
        "/v1/models/{model}",
        400,
        "Malformed request: POST /v1/models/{model}",
    ),
    "DELETE": (
        "DELETE",
        "/v1/models/{model}",
        400,
        "Malformed request: DELETE",
    ),
    "no verb": ("POST", "/v1/models/{model}:run", 400, "Malformed request: "),
    "predict, no model": (
        "POST",
        "/v1/models/nope:predict",
        404,
        "Servable not found for request: Latest(nope)",
    ),
    "predict, no version": (
        "POST",
        "/v1/models/{model}/versions/99:predict",
        404,
        "Servable not found for request: Specific({model}, 99)",
    ),
    "predict, no label": (
        "POST",
        "/v1/models/{model}/labels/nope:predict",
        400,
        "Unrecognized servable version label: nope",
    ),
    "version too large": (
        "POST",
        "/v1/models/{model}/versions/99999999999999999999:predict",
        400,
        "Failed to convert version: 99999999999999999999 to numeric.",
    ),
    "status, no model": (
        "GET",
        "/v1/models/nope",
        404,
        "Could not find any versions of model nope",
    ),
    "status, no version": (
        "GET",
        "/v1/models/{model}/versions/99",
        404,
        "Could not find version 99 of model {model}",
    ),
    "metadata, no model": (
        "GET",
        "/v1/models/nope/metadata",
        404,
        "Servable not found for request: Latest(nope)",
    ),
    "no model name": (
        "GET",
        "/v1/models",
        400,
        "Missing model name in request.",
    ),
}
