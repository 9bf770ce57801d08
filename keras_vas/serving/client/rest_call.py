"""One JSON request over HTTP, with a deadline and patient retries.

The standard library alone.
"""

import http.client
import json
import random
import time
import urllib.parse

from keras_vas.errors import UserError

MAX_ANSWER_BYTES = 1 << 30

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
_CHUNK = 1 << 20
_UNAVAILABLE = 503
_SHOWN = 300


class ServingError(UserError):
    """A server that cannot be reached, refuses, or answers nonsense.

    Attributes:
        status: HTTP status of the answer, `None` if there was none.
        reason: the server's own words, "" if there were none.
    """

    def __init__(self, message, status=None, reason=""):
        super().__init__(message)
        self.status = status
        self.reason = reason


def check_url(url):
    """Returns the address of a server, without a slash at its end.

    Args:
        url: such as "http://127.0.0.1:8501"; a path before "/v1" is kept.

    Raises:
        UserError: it is no such address.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname
        right = right and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserError(
            f"{url} is no address of a server: write http://HOST:PORT"
        )
    if "/v1" in parts.path:
        raise UserError(
            f"{url}: give the address of the server alone, without /v1/..., "
            "and the name of the model apart"
        )
    return url.rstrip("/")


def call(url, data=None, *, timeout, retries):
    """Sends a GET request, or a POST with a JSON body.

    A connection that fails and an answer of 503 are tried again, after a
    pause that doubles; any other answer is final, and so is silence.

    Args:
        url: address of the resource.
        data: `bytes` of the body, or `None` for GET.
        timeout: seconds within which one attempt has to be answered in full.
        retries: attempts after the first.

    Returns:
        The object in the answer.

    Raises:
        ServingError: no server, no answer in time, an answer that is an
            error, or one that is no JSON object.
    """
    for attempt in range(retries + 1):
        try:
            status, answer = _attempt(url, data, timeout)
        except TimeoutError as error:
            raise ServingError(
                f"{url} did not answer within {timeout:g} seconds; allow more "
                "time, or send smaller frames"
            ) from error
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            failure = ServingError(
                f"cannot reach {url}: {_reason(error)}; is the server running?"
            )
        else:
            if status != _UNAVAILABLE:
                return _read(url, status, answer)
            failure = _refusal(url, status, answer)
        if attempt < retries:
            time.sleep(_pause(attempt))
    tries = f" ({retries + 1} attempts)" if retries else ""
    raise ServingError(f"{failure}{tries}", failure.status, failure.reason)


def _attempt(url, data, timeout):
    parts = urllib.parse.urlsplit(url)
    kinds = {
        "http": http.client.HTTPConnection,
        "https": http.client.HTTPSConnection,
    }
    connection = kinds[parts.scheme](parts.netloc, timeout=timeout)
    deadline = time.monotonic() + timeout
    try:
        connection.connect()
        try:
            connection.request(
                "GET" if data is None else "POST",
                parts.path,
                data,
                {"Content-Type": "application/json"},
            )
        except (BrokenPipeError, ConnectionResetError):
            # a server may refuse a long request before its end: hear why
            return _finished(connection, deadline)
        return _finished(connection, deadline)
    finally:
        connection.close()


def _finished(connection, deadline):
    connection.sock.settimeout(max(deadline - time.monotonic(), 0.001))
    # keep the socket: the connection forgets it where the server closes
    socket = connection.sock
    answer = connection.getresponse()
    chunks, size = [], 0
    while chunk := answer.read1(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if size > MAX_ANSWER_BYTES:
            raise http.client.HTTPException(
                f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
            )
        if not answer.isclosed():
            socket.settimeout(left)
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return answer.status, b"".join(chunks)


def _read(url, status, answer):
    if status != http.client.OK:
        raise _refusal(url, status, answer)
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ServingError(
            f"{url} answered something that is no JSON object; is it "
            "TensorFlow Serving's REST port?",
            status,
        )
    return document


def _refusal(url, status, answer):
    try:
        reason = json.loads(answer)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        reason = answer.decode("utf-8", "replace")
    reason = " ".join(str(reason).split())
    shown = reason if len(reason) <= _SHOWN else f"{reason[:_SHOWN]}..."
    name = http.client.responses.get(status, "")
    return ServingError(
        f"{url} answered {status} {name}: {shown}", status, reason
    )


def _reason(error):
    return getattr(error, "strerror", None) or str(error) or repr(error)


def _pause(attempt):
    longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.75, 1)
