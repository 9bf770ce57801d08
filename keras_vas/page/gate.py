"""What stands before the page: who may ask for what.

Gradio serves files to whoever knows their path, takes paths of files as
arguments, and has many routes that this page does not use. The gate lets
through what the page needs, gives every visitor a name of their own in a
cookie that no script can read, ties Gradio's sessions to it, and bounds the
bodies of requests.
"""

import collections
import http.cookies
import json
import re
import secrets

VISITOR = "keras_vas.visitor"
UPLOAD, RESULTS = "/upload", "/results/"
_API = "/gradio_api"
_STATIC = ("/assets/", "/static/", "/svelte/")
_OPEN = ("/", "/config", "/theme.css", "/favicon.ico", f"{_API}/theme.css")
_OWN = (
    f"{_API}/queue/data",
    f"{_API}/startup-events",
    f"{_API}/heartbeat/",
    RESULTS,
)
_POSTED = (f"{_API}/queue/join", f"{_API}/cancel", f"{_API}/reset")
_LARGEST_BODY = 2**18
_SESSIONS = 4096
_TOKEN = re.compile(r"[\w-]{43}")
_SESSION = re.compile(r"\w{1,64}")
_SCALAR = (str, int, float, bool, type(None))
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "content-security-policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
        "object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
    ),
}


class RefusedError(Exception):
    """A request that does not get through: status and a line of text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


class Gate:
    """ASGI application around another one.

    Args:
        app: the ASGI application.
        cookie: name of the cookie.
        hosts: host names under which the page may be asked for, `None` for
            any. Names that someone else points at this machine are not
            among them.
    """

    def __init__(self, app, cookie, hosts=None):
        self._app, self._cookie = app, cookie
        self._hosts = hosts and {host.lower() for host in hosts}
        self._visitors = collections.OrderedDict()

    async def __call__(self, scope, receive, send):
        """Handles one connection."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in scope["headers"]
        }
        visitor = self._visitor(headers)
        new = None if visitor else secrets.token_urlsafe(32)
        try:
            self._check_origin(headers)
            receive = await self._checked(scope, receive, headers, visitor)
        except RefusedError as refusal:
            await _answer(send, refusal)
            return
        scope[VISITOR] = visitor or new
        await self._app(scope, receive, self._with_headers(send, new))

    def _visitor(self, headers):
        try:
            cookies = http.cookies.SimpleCookie(headers.get("cookie", ""))
        except http.cookies.CookieError:
            return None
        found = cookies.get(self._cookie)
        if found is None or not _TOKEN.fullmatch(found.value):
            return None
        return found.value

    def _check_origin(self, headers):
        host = headers.get("host", "").lower()
        name = re.sub(r":\d+$", "", host)
        if self._hosts is not None and name not in self._hosts:
            raise RefusedError(403, "This page is not served under that name.")
        origin = headers.get("origin")
        if origin and origin.split("//")[-1].lower() != host:
            raise RefusedError(
                403, "Requests from other sites are not answered."
            )

    async def _checked(self, scope, receive, headers, visitor):
        path, method = scope["path"], scope["method"]
        if ".." in path.split("/"):
            raise RefusedError(404, "Not found.")
        if method in ("GET", "HEAD"):
            if path in _OPEN or path.startswith(_STATIC):
                return receive
            if path.startswith(_OWN):
                _require(visitor)
                self._claim(_session_of(scope), visitor)
                return receive
        elif method == "POST" and path == UPLOAD:
            _require(visitor)
            return receive
        elif method == "POST" and path in _POSTED:
            _require(visitor)
            body = await _body(receive, headers)
            self._check_body(body, visitor)
            return _replayed(body, receive)
        raise RefusedError(404, "Not found.")

    def _claim(self, session, visitor):
        """Ties a session to the first visitor who uses it."""
        if session is None:
            return
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise RefusedError(400, "That is no session.")
        owner = self._visitors.setdefault(session, visitor)
        if owner != visitor:
            raise RefusedError(403, "This session is another visitor's.")
        self._visitors.move_to_end(session)
        while len(self._visitors) > _SESSIONS:
            self._visitors.popitem(last=False)

    def _check_body(self, body, visitor):
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise RefusedError(400, "The request is no JSON object.")
        self._claim(fields.get("session_hash"), visitor)
        data = fields.get("data", [])
        event = fields.get("event_data") or {}
        if not isinstance(data, list) or not isinstance(event, dict):
            raise RefusedError(400, "The request is of another kind.")
        # A dict could name a file of this machine, and Gradio would copy it.
        if not all(isinstance(x, _SCALAR) for x in [*data, *event.values()]):
            raise RefusedError(400, "Values must be texts, numbers or nothing.")

    def _with_headers(self, send, new):
        extra = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
        if new:
            value = f"{self._cookie}={new}; Path=/; HttpOnly; SameSite=Strict"
            extra.append((b"set-cookie", value.encode()))

        async def send_more(message):
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *extra]
                message = {**message, "headers": headers}
            await send(message)

        return send_more


def _require(visitor):
    if visitor is None:
        raise RefusedError(403, "Open the page first, with cookies allowed.")


def _session_of(scope):
    path = scope["path"]
    if path.startswith(f"{_API}/heartbeat/"):
        return path.rsplit("/", 1)[-1]
    if path == f"{_API}/queue/data":
        query = scope["query_string"].decode("latin-1")
        found = re.findall(r"(?:^|&)session_hash=([^&]*)", query)
        if len(found) != 1:
            raise RefusedError(400, "Name one session.")
        return found[0]
    return None


async def _body(receive, headers):
    if int(headers.get("content-length") or 0) > _LARGEST_BODY:
        raise RefusedError(413, "The request is too long.")
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _LARGEST_BODY:
            raise RefusedError(413, "The request is too long.")
        if not message.get("more_body"):
            return body


def _replayed(body, receive):
    given = False

    async def receive_again():
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _answer(send, refusal):
    text = refusal.text.encode()
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(text)).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": text})
