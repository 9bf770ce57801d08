"""Plain HTTP for the tests of serving, without the project's client."""

import base64
import http.client
import json
import urllib.parse

import cv2
import numpy as np
from patience import SECONDS


def ask(url, method, path, body=None):
    """Returns the status and the parsed answer of one request."""
    connection = http.client.HTTPConnection(
        urllib.parse.urlsplit(url).netloc, timeout=SECONDS
    )
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        connection.request(method, path, body)
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


PICTURE = b64(png(np.zeros((8, 8, 3), np.uint8)))


def row(frames=None, query="a dog"):
    return {
        "frames": [PICTURE] * 8 if frames is None else frames,
        "query": query,
    }


def jpeg_request(*rows):
    return {"signature_name": "segment_jpeg", "instances": list(rows)}


def pixels_request(frames):
    return {"inputs": {"frames": frames, "query": ["a"]}}


REFUSED_BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "cut off": b'{"instances": [1',
    "nested too deep": b'{"inputs": ' + b"[" * 100_000,
    "no object": b"[1]",
    "no tensors": {},
    "both forms": {"inputs": 1, "instances": [1]},
    "instances no list": {"instances": 3},
    "no instance": {"instances": []},
    "unknown signature": {"signature_name": "nope", "instances": [1]},
    "signature no string": {"signature_name": 5, "instances": [1]},
    "plain list": jpeg_request("a"),
    "objects and lists": jpeg_request(row(), [1]),
    "missing key": jpeg_request({"frames": [PICTURE]}),
    "unknown key": jpeg_request(row() | {"extra": 1}),
    "frame counts": jpeg_request(row([PICTURE] * 3), row([PICTURE] * 2)),
    "ragged strings": {
        "signature_name": "segment_jpeg",
        "inputs": {"frames": [[PICTURE] * 8, [PICTURE]], "query": ["a", "b"]},
    },
    "no name": {"signature_name": "segment_jpeg", "inputs": [1]},
    "no query": {
        "signature_name": "segment_jpeg",
        "inputs": {"frames": [[PICTURE]]},
    },
    "invalid base64": jpeg_request(row([{"b64": "!!!"}] * 8)),
    "base64 of a number": jpeg_request(row([{"b64": 5}] * 8)),
    "query a number": jpeg_request(row(query=5)),
    "query null": jpeg_request(row(query=None)),
    "invalid UTF-8": b'{"inputs": {"frames": [], "query": ["\xff"]}}',
    "half a surrogate": b'{"inputs": {"frames": [], "query": ["\\ud800"]}}',
    "NaN": pixels_request([[[[[float("nan"), 0, 0]]]]]),
    "a fraction": pixels_request([[[[[0, 1.5, 0]]]]]),
    "a large number": pixels_request([[[[[300, 0, 0]]]]]),
    "a huge number": pixels_request([[[[[10**4000, 0, 0]]]]]),
    "a negative number": pixels_request([[[[[-1, 0, 0]]]]]),
    "two channels": pixels_request([[[[[1, 2]]]]]),
    "no frame": pixels_request([]),
    "ragged rows": pixels_request([[[[[1, 2, 3], [1, 2, 3]], [[1, 2, 3]]]]]),
    "number by list": pixels_request([[[[[1, 2, 3], 7]]]]),
    "list by number": pixels_request([[[[[1, 2, [3]]]]]]),
    "no picture": jpeg_request(row([b64(b"hello")] * 8)),
    "half a picture": jpeg_request(row([b64(png(clip()[0])[:40])] * 8)),
}
# method and path of what is not there
MISSING = {
    "model": ("POST", "/v1/models/nope:predict"),
    "version": ("POST", "/v1/models/{model}/versions/99:predict"),
    "status of a model": ("GET", "/v1/models/nope"),
    "status of a version": ("GET", "/v1/models/{model}/versions/99"),
    "metadata": ("GET", "/v1/models/nope/metadata"),
}
