"""A model at TensorFlow Serving's REST port, with patient retries."""

import base64
import http.client
import json

import numpy as np
import urllib3

from keras_vas.errors import UserError

_SHOWN = 300


class ServingError(UserError):
    """A server that cannot be reached, refuses, or answers nonsense.

    Attributes:
        status: HTTP status of the answer or name of its gRPC status, `None`
            if there was no answer.
        reason: the server's own words, "" if there were none.
    """

    def __init__(
        self, message: str, status: int | None = None, reason: str = ""
    ):
        super().__init__(message)
        self.status = status
        self.reason = reason


class _Retry(urllib3.Retry):
    """Tries again, but not where the server was silent: it may be working."""

    def increment(self, *arguments, error=None, **keywords):
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            raise error
        return super().increment(*arguments, error=error, **keywords)


class RestModel:
    """Connections to a server, kept open between requests.

    Args:
        url: such as "http://127.0.0.1:8501"; a path before "/v1" is kept.
        model: str, the model's name.
        version: its number, `None` for the latest.
        timeout: seconds that the server may be silent.
        retries: attempts after the first, where a connection fails or the
            answer is 503; the pauses between double, up to 8 seconds.

    Attributes:
        url: address of the model.

    Raises:
        UserError: `url` is no such address.
    """

    def __init__(self, url, model, version, timeout, retries):
        if "/v1" in url:
            raise UserError(
                f"{url}: give the address of the server alone, without "
                "/v1/..., and the name of the model apart"
            )
        try:
            parts = urllib3.util.parse_url(url)
            right = parts.scheme in ("http", "https") and parts.host
        except urllib3.exceptions.LocationParseError:
            right = False
        if not right or parts.query or parts.fragment or parts.auth:
            raise UserError(
                f"{url} is no address of a server: write http://HOST:PORT"
            )
        part = "" if version is None else f"/versions/{version}"
        self.url = f"{url.rstrip('/')}/v1/models/{model}{part}"
        self._timeout = timeout
        self._attempts = f" ({retries + 1} attempts)" if retries else ""
        self._pool = urllib3.PoolManager(
            timeout=timeout,
            retries=_Retry(
                retries,
                redirect=False,
                status_forcelist=[503],
                allowed_methods=None,
                backoff_factor=0.25,
                backoff_max=8,
                raise_on_status=False,
                respect_retry_after_header=False,
            ),
        )

    def status(self):
        """The answer of TensorFlow Serving's GetModelStatus, as JSON."""
        return self._call(self.url)

    def metadata(self):
        """The answer of TensorFlow Serving's GetModelMetadata, as JSON."""
        return self._call(f"{self.url}/metadata")

    def predict(self, signature, inputs):
        """Calls a signature.

        Args:
            signature: str, its name.
            inputs: dict of name -> uint8 array `(..., 3)`, or nested list of
                str and bytes.

        Returns:
            Dict of output name -> what JSON holds; strings in base64 are
            `bytes`.

        Raises:
            ServingError: no server, no answer in time, an answer that is an
                error, or one that holds no outputs.
        """
        texts = [
            b'"%b": %b' % (name.encode(), _as_json(value))
            for name, value in inputs.items()
        ]
        answer = self._call(
            f"{self.url}:predict",
            b'{"signature_name": "%b", "inputs": {%b}}'
            % (signature.encode(), b", ".join(texts)),
        )
        try:
            return {k: _bytes(x) for k, x in answer["outputs"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServingError(
                f"{self.url} answered with no outputs"
            ) from error

    def _call(self, url, data=None):
        try:
            answer = self._pool.request(
                "GET" if data is None else "POST",
                url,
                body=data,
                headers={"Content-Type": "application/json"},
                redirect=False,
            )
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ServingError(
                f"{url} did not answer within {self._timeout:g} seconds; allow "
                "more time, or send smaller frames"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error
            cause = getattr(cause.__cause__, "strerror", None) or cause
            raise ServingError(
                f"cannot reach {url}: {cause}; is the server running?"
                f"{self._attempts}"
            ) from error
        try:
            document = json.loads(answer.data)
        except (ValueError, RecursionError):
            document = None
        if answer.status != http.client.OK:
            raise self._refusal(url, answer, document)
        if not isinstance(document, dict):
            raise ServingError(
                f"{url} answered something that is no JSON object; is it "
                "TensorFlow Serving's REST port?",
                answer.status,
            )
        return document

    def _refusal(self, url, answer, document):
        try:
            reason = document["error"]
        except (KeyError, TypeError):
            reason = answer.data.decode("utf-8", "replace")
        reason = " ".join(str(reason).split())
        shown = reason if len(reason) <= _SHOWN else f"{reason[:_SHOWN]}..."
        name = http.client.responses.get(answer.status, "")
        tries = self._attempts if answer.status == 503 else ""
        return ServingError(
            f"{url} answered {answer.status} {name}: {shown}{tries}",
            answer.status,
            reason,
        )


def _as_json(value):
    if isinstance(value, np.ndarray):
        return _pixels_as_json(value)
    return json.dumps(
        value, default=lambda x: {"b64": base64.b64encode(x).decode()}
    ).encode()


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


def _bytes(value):
    """A list of strings in base64 as list of `bytes`; others as they are."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [base64.b64decode(x["b64"], validate=True) for x in value]
    return value
