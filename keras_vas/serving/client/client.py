r"""A client of TensorFlow Serving's REST port, and of the local server.

    python -m keras_vas.serving_client --url=http://127.0.0.1:8501 \
        --video=in.mp4 --query="the dog running on the left" --output=out

or from Python:

    client = ServingClient("http://127.0.0.1:8501", "cstm")
    masks, scores = client.segment(frames, ["a dog", "a woman in red"])

It needs NumPy, OpenCV and urllib3, and neither TensorFlow nor Keras.
"""

import base64
import binascii
import json
import re

import cv2
import numpy as np

from keras_vas.errors import UserError
from keras_vas.serving.client.rest_call import Server, ServingError

SEGMENT_JPEG = "segment_jpeg"
SEGMENT_MANY = "segment_many"
# raw values travel as decimal numbers, five bytes each or so
MAX_RAW_VALUES = 1 << 20
# more queries than fit are sent in several requests
MAX_REQUEST_BYTES = 32 << 20

_SIDES = ("inputs", "outputs")

__all__ = ["ServingClient", "ServingError"]


class ServingClient:
    """Asks a server for masks.

    Args:
        url: address of the REST port, such as "http://127.0.0.1:8501".
        model: name of the model.
        timeout: seconds that the server may be silent.
        retries: how often a request is sent again after a connection that
            failed or an answer of 503, with pauses that double. An answer
            that is another error is final.
        version: number of the version, `None` for the latest one.

    Raises:
        UserError: `url` is no address of a server, `model` no name, or a
            number out of range.
    """

    def __init__(
        self, url, model="cstm", timeout=60.0, retries=3, *, version=None
    ):
        if not re.fullmatch(r"[^\s/:?#%]+", model):
            raise UserError(f"{model!r} is no name of a model: write cstm")
        if timeout <= 0 or retries < 0:
            raise UserError(
                f"timeout={timeout} must be above 0, and retries={retries} 0 "
                "or more"
            )
        part = "" if version is None else f"/versions/{version}"
        self._server = Server(url, timeout, retries)
        self._url = f"{self._server.url}/v1/models/{model}{part}"

    def status(self):
        """Returns the states of the versions.

        Returns:
            Dict of version (int) -> state, such as `{1: "AVAILABLE"}`.

        Raises:
            ServingError: no server, or no such model.
        """
        answer = self._call("")
        try:
            return {
                int(version["version"]): version["state"]
                for version in answer["model_version_status"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense("no status of a model") from error

    def metadata(self):
        """Returns the signatures of the model.

        Returns:
            Dict of signature name -> `{"inputs": ..., "outputs": ...}`, each
            a dict of tensor name -> `(dtype, shape)`, such as
            `("DT_UINT8", (-1, -1, 3))`; -1 is any size.

        Raises:
            ServingError: no server, or no such model.
        """
        answer = self._call("/metadata")
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: {side: _specs(signature[side]) for side in _SIDES}
                for name, signature in signatures.items()
                if not name.startswith("__")
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense("no metadata of a model") from error

    def segment(self, frames, queries, signature=None):
        """Segments the target frame of one clip, once for each query.

        Args:
            frames: the clip in order of time: a uint8 RGB array
                `(time, height, width, 3)`, or a list of `bytes`, each a JPEG
                or PNG picture. Frame 4 of 8 is the target.
            queries: a sentence, or a list of sentences.
            signature: "segment_jpeg" sends the frames as JPEG, once for each
                query; "segment_many" sends them as raw numbers once, and the
                server shares the work between the queries; by default, the
                latter for several queries on an array of at most
                `MAX_RAW_VALUES` values (8 frames of 209 x 209), else the
                former. Masks differ by what JPEG loses, and by less than
                1/255 because they come back as 8-bit pictures.

        Returns:
            Pair of the masks, float32 `(queries, height, width)`
            probabilities at the frames' own size, and the scores, float32
            `(queries,)`: how sure the model is that the actor is there. A
            single sentence counts as a list of one.

        Raises:
            ServingError: no server, or it refuses, or answers nonsense.
            ValueError: the frames or the queries are of another kind.
        """
        queries = [queries] if isinstance(queries, str) else list(queries)
        if not queries or not all(isinstance(q, str) for q in queries):
            raise ValueError(
                f"queries must be sentences. Received: queries={queries}"
            )
        if signature not in (None, SEGMENT_JPEG, SEGMENT_MANY):
            raise ValueError(
                f"signature must be {SEGMENT_JPEG} or {SEGMENT_MANY}. "
                f"Received: signature={signature}"
            )
        raw = isinstance(frames, np.ndarray)
        if raw and (
            frames.dtype != np.uint8
            or frames.ndim != 4
            or frames.shape[3] != 3
            or not frames.size
        ):
            raise ValueError(
                "frames must be uint8 of shape (time, height, width, 3). "
                f"Received: dtype={frames.dtype}, shape={frames.shape}"
            )
        if signature is None:
            many = raw and len(queries) > 1 and frames.size <= MAX_RAW_VALUES
            signature = SEGMENT_MANY if many else SEGMENT_JPEG
        if signature == SEGMENT_JPEG:
            return self._segment_jpeg(frames, queries)
        if not raw:
            raise ValueError(f"{SEGMENT_MANY} takes an array, not pictures")
        return self._segment_many(frames, queries)

    def _segment_jpeg(self, frames, queries):
        if isinstance(frames, np.ndarray):
            size = frames.shape[1:3]
            frames = [_jpeg(frame) for frame in frames]
        else:
            size = None
        clip = [{"b64": base64.b64encode(f).decode()} for f in frames]
        length = sum(len(picture["b64"]) for picture in clip)
        count = max(1, MAX_REQUEST_BYTES // max(length, 1))
        masks, scores = [], []
        for first in range(0, len(queries), count):
            rows = [
                {"frames": clip, "query": query}
                for query in queries[first : first + count]
            ]
            body = {"signature_name": SEGMENT_JPEG, "instances": rows}
            answer = self._call(":predict", json.dumps(body).encode())
            try:
                rows = answer["predictions"]
                masks += [_decode(row["mask_png_bytes"]["b64"]) for row in rows]
                scores += [row["score"] for row in rows]
            except (KeyError, TypeError, ValueError) as error:
                raise self._nonsense("no masks") from error
        return self._checked(masks, scores, len(queries), size)

    def _segment_many(self, frames, queries):
        answer = self._call(
            ":predict",
            b'{"signature_name": "%b", "inputs": {"queries": %b, "frames": %b}}'
            % (
                SEGMENT_MANY.encode(),
                json.dumps(queries).encode(),
                _pixels_as_json(frames),
            ),
        )
        try:
            masks = answer["outputs"]["masks"]
            scores = answer["outputs"]["scores"]
        except (KeyError, TypeError) as error:
            raise self._nonsense("no masks") from error
        return self._checked(masks, scores, len(queries), frames.shape[1:3])

    def _checked(self, masks, scores, count, size):
        try:
            masks = np.asarray(masks, np.float32)
            scores = np.asarray(scores, np.float32)
        except (TypeError, ValueError) as error:
            raise self._nonsense("masks that are no arrays") from error
        right = masks.ndim == 3 and masks.shape[0] == count
        if not right or scores.shape != (count,):
            raise self._nonsense(f"masks of shape {masks.shape}")
        if size is not None and masks.shape[1:] != size:
            raise self._nonsense(f"masks of {masks.shape[1:]}, not {size},")
        if not (np.isfinite(masks).all() and np.isfinite(scores).all()):
            raise self._nonsense("numbers that are not finite")
        return masks, scores

    def _call(self, suffix, data=None):
        return self._server.call(self._url + suffix, data)

    def _nonsense(self, what):
        return ServingError(
            f"{self._url} answered with {what}; is it a model that export.py "
            "wrote?"
        )


def _pixels_as_json(frames):
    """Writes frames as nested lists; thirty times as fast as `json.dumps`."""
    digits = np.array([b"%3d" % n for n in range(256)]).view(np.uint8)
    text = np.full((*frames.shape[:3], 14), ord(","), np.uint8)
    text[..., 0], text[..., 12] = ord("["), ord("]")
    for channel in range(3):
        first = 1 + 4 * channel
        text[..., first : first + 3] = digits.reshape(256, 3)[
            frames[..., channel]
        ]
    rows = text.reshape(*frames.shape[:2], -1)[..., :-1]
    return b"[%b]" % b",".join(
        b"[%b]" % b",".join(b"[%b]" % row.tobytes() for row in frame)
        for frame in rows
    )


def _specs(tensors):
    return {
        name: (
            tensor["dtype"],
            None
            if tensor["tensor_shape"]["unknown_rank"]
            else tuple(
                int(n["size"]) for n in tensor["tensor_shape"].get("dim", ())
            ),
        )
        for name, tensor in tensors.items()
    }


def _jpeg(frame):
    # colours as sharp as the rest: small actors are told apart by them
    sharp = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sharp]
    return cv2.imencode(".jpg", frame[..., ::-1], options)[1].tobytes()


def _decode(text):
    """Returns the probabilities in a PNG picture that came as base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("invalid base64") from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError("no PNG picture of 8 bits and one channel")
    return image / np.float32(255)
