r"""A client of TensorFlow Serving, by REST or gRPC, and of the local server.

    python -m keras_vas.serving_client --url=http://127.0.0.1:8501 \
        --video=in.mp4 --query="the dog running on the left" --output=out

or from Python:

    client = ServingClient("http://127.0.0.1:8501", "cstm")
    masks, scores = client.segment(frames, ["a dog", "a woman in red"])

It needs NumPy, OpenCV and urllib3, and neither TensorFlow nor Keras.
"""

import dataclasses
import re
from collections.abc import Sequence

import cv2
import numpy as np

from keras_vas.errors import UserError
from keras_vas.metrics import THRESHOLD
from keras_vas.serving.client.grpc_model import GrpcModel
from keras_vas.serving.client.rest_model import RestModel, ServingError

SEGMENT_JPEG = "segment_jpeg"
SEGMENT_MANY = "segment_many"
SEGMENT_MANY_JPEG = "segment_many_jpeg"
DESCRIBE = "describe"
# raw values travel as decimal numbers, five bytes each or so
MAX_RAW_VALUES = 1 << 20
# more queries than fit are sent in several requests
MAX_REQUEST_BYTES = 32 << 20
MAX_ROWS = 256
JPEG_QUALITY = 90

_SIDES = ("inputs", "outputs")
_NAMES = {
    SEGMENT_JPEG: ("query", "mask_png_bytes", "score"),
    SEGMENT_MANY: ("queries", "masks", "scores"),
    SEGMENT_MANY_JPEG: ("queries", "masks_png_bytes", "scores"),
}

__all__ = ["Description", "ServingClient", "ServingError"]


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model says about itself and about sentences.

    Attributes:
        about: one line, "" of an export that does not say.
        threshold: what a pixel's probability must exceed to belong to a mask.
        unknown_words: tuple of the words that the model does not know.
    """

    about: str = ""
    threshold: float = THRESHOLD
    unknown_words: tuple[str, ...] = ()

    def __str__(self):
        """One line."""
        about = self.about or "the export does not say which words it knows"
        if not self.unknown_words:
            return about
        return f"{about} It does not know: {', '.join(self.unknown_words)}."


class ServingClient:
    """Asks a server for masks.

    Args:
        url: address of the REST port, such as http://127.0.0.1:8501.
        model: name of the model.
        timeout: seconds that the server may be silent.
        retries: how often a request is sent again after a connection that
            failed or an answer of 503, with pauses that double. An answer
            that is another error is final.
        grpc: HOST:PORT of the gRPC port, which is asked instead of url; it
            needs tensorflow-serving-api.
        version: number of the version, `None` for the latest one.

    Raises:
        UserError: `url` is no address of a server, `model` no name, or a
            number out of range.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8501",
        model: str = "cstm",
        timeout: float = 60.0,
        retries: int = 3,
        grpc: str | None = None,
        *,
        version: int | None = None,
    ):
        if not re.fullmatch(r"[^\s/:?#%]+", model):
            raise UserError(f"{model!r} is no name of a model: write cstm")
        if timeout <= 0 or retries < 0:
            raise UserError(
                f"timeout={timeout} must be above 0, and retries={retries} 0 "
                "or more"
            )
        if grpc is not None and not re.fullmatch(r"[^\s/]+:\d+", grpc):
            raise UserError(f"grpc={grpc} is no address: write HOST:PORT")
        kind, address = (RestModel, url) if grpc is None else (GrpcModel, grpc)
        self._model = kind(address, model, version, timeout, retries)
        self._signatures = None

    def status(self) -> dict[int, str]:
        """Returns the states of the versions.

        Returns:
            Dict of version (int) -> state, such as `{1: "AVAILABLE"}`.

        Raises:
            ServingError: no server, or no such model.
        """
        answer = self._model.status()
        try:
            return {
                int(version["version"]): version["state"]
                for version in answer["model_version_status"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense("no status of a model") from error

    def metadata(self) -> dict[str, dict[str, dict[str, tuple]]]:
        """Returns the signatures of the model.

        Returns:
            Dict of signature name -> `{"inputs": ..., "outputs": ...}`, each
            a dict of tensor name -> `(dtype, shape)`, such as
            `("DT_UINT8", (-1, -1, 3))`; -1 is any size.

        Raises:
            ServingError: no server, or no such model.
        """
        answer = self._model.metadata()
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: {side: _specs(signature[side]) for side in _SIDES}
                for name, signature in signatures.items()
                if not name.startswith("__")
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense("no metadata of a model") from error

    def describe(self, queries: str | Sequence[str]) -> Description:
        """Asks what the model is, and what it does not know of sentences.

        Args:
            queries: a sentence, or a list of sentences.

        Returns:
            `Description`; the default one of an export that has no signature
            for it.

        Raises:
            ServingError: no server, or it refuses, or answers nonsense.
        """
        queries = _sentences(queries)
        if DESCRIBE not in self._known():
            return Description()
        unknown = []
        for first in range(0, len(queries), MAX_ROWS):
            answer = self._model.predict(
                DESCRIBE, {"queries": queries[first : first + MAX_ROWS]}
            )
            try:
                for words in answer["unknown_words"]:
                    unknown += _text(words).split()
                about = _text(answer["about"][0])
                threshold = round(float(answer["threshold"][0]), 6)
            except (
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
            ) as error:
                raise self._nonsense("no description") from error
        return Description(about, threshold, tuple(dict.fromkeys(unknown)))

    def segment(
        self,
        frames: np.ndarray | Sequence[bytes],
        queries: str | Sequence[str],
        signature: str | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Segments the target frame of one clip, once for each query.

        Args:
            frames: the clip in order of time: a uint8 RGB array
                `(time, height, width, 3)`, or a list of `bytes`, each a JPEG
                or PNG picture. Frame 4 of 8 is the target.
            queries: a sentence, or a list of sentences.
            signature: "segment_many_jpeg" sends the frames as JPEG once, and
                the server shares the work between the queries;
                "segment_many" sends them as raw numbers; "segment_jpeg" sends
                them as JPEG once for each query. By default the first; where
                the export has it not, the second for several queries on an
                array of at most `MAX_RAW_VALUES` values (8 frames of 209 x
                209), else the third. Masks differ by what JPEG loses, and by
                less than 1/255 because they come back as 8-bit pictures.

        Returns:
            Pair of the masks, float32 `(queries, height, width)`
            probabilities at the frames' own size, and the scores, float32
            `(queries,)`: how sure the model is that the actor is there. A
            single sentence counts as a list of one.

        Raises:
            ServingError: no server, or it refuses, or answers nonsense.
            ValueError: the frames or the queries are of another kind.
        """
        queries = _sentences(queries)
        if signature not in (None, *_NAMES):
            raise ValueError(
                f"signature must be one of {', '.join(_NAMES)}. "
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
        if signature == SEGMENT_MANY and not raw:
            raise ValueError(f"{SEGMENT_MANY} takes an array, not pictures")
        size = frames.shape[1:3] if raw else None
        if signature is None:
            many = raw and len(queries) > 1 and frames.size <= MAX_RAW_VALUES
            signature = SEGMENT_MANY if many else SEGMENT_JPEG
            if SEGMENT_MANY_JPEG in self._known():
                signature = SEGMENT_MANY_JPEG
        if raw and signature != SEGMENT_MANY:
            frames = [_jpeg(frame) for frame in frames]
        masks, scores = [], []
        for part in _parts(signature, frames, queries):
            found = self._ask(signature, frames, part)
            masks += found[0]
            scores += found[1]
        return self._checked(masks, scores, len(queries), size)

    def _known(self):
        if self._signatures is None:
            self._signatures = self.metadata().keys()
        return self._signatures

    def _ask(self, signature, frames, queries):
        query_name, mask_name, score_name = _NAMES[signature]
        if signature == SEGMENT_JPEG:
            frames = [frames] * len(queries)
        answer = self._model.predict(
            signature, {"frames": frames, query_name: queries}
        )
        try:
            masks, scores = answer[mask_name], answer[score_name]
            if signature != SEGMENT_MANY:
                masks = map(_decode, masks)
            return list(masks), list(scores)
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense("no masks") from error

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

    def _nonsense(self, what):
        return ServingError(
            f"{self._model.url} answered with {what}; is it a model that "
            "export.py wrote?"
        )


def _sentences(queries):
    queries = [queries] if isinstance(queries, str) else list(queries)
    if not queries or not all(isinstance(q, str) for q in queries):
        raise ValueError(
            f"queries must be sentences. Received: queries={queries}"
        )
    return queries


def _parts(signature, frames, queries):
    """Yields as many queries at a time as fit into a request."""
    count = MAX_ROWS
    if signature == SEGMENT_JPEG:
        length = sum(map(len, frames)) * 4 // 3
        count = max(1, MAX_REQUEST_BYTES // max(length, 1))
    for first in range(0, len(queries), count):
        yield queries[first : first + count]


def _text(value):
    return value.decode() if isinstance(value, bytes) else "".join(value)


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
    options = [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        sharp,
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
    ]
    return cv2.imencode(".jpg", frame[..., ::-1], options)[1].tobytes()


def _decode(data):
    """Returns the probabilities in a PNG picture."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError("no PNG picture of 8 bits and one channel")
    return image / np.float32(255)
