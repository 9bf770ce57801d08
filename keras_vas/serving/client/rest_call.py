"""JSON requests over HTTP, with patient retries."""

import http.client
import json

import urllib3

from keras_vas.errors import UserError

_SHOWN = 300


class ServingError(UserError):
    """A server that cannot be reached, refuses, or answers nonsense.

    Attributes:
        status: HTTP status of the answer, `None` if there was none.
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


class Server:
    """Connections to a server, kept open between requests.

    Args:
        url: such as "http://127.0.0.1:8501"; a path before "/v1" is kept.
        timeout: seconds that the server may be silent.
        retries: attempts after the first, where a connection fails or the
            answer is 503; the pauses between double, up to 8 seconds.

    Attributes:
        url: as given, without a slash at its end.

    Raises:
        UserError: `url` is no such address.
    """

    def __init__(self, url, timeout, retries):
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
        self.url, self._timeout = url.rstrip("/"), timeout
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

    def call(self, url, data=None):
        """Sends a GET request, or a POST with a JSON body.

        Args:
            url: address of the resource.
            data: `bytes` of the body, or `None` for GET.

        Returns:
            The object in the answer.

        Raises:
            ServingError: no server, no answer in time, an answer that is an
                error, or one that is no JSON object.
        """
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
