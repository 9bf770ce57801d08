"""What stands before the page: who may ask for what.

Gradio serves files to whoever knows their path, takes paths of files as
arguments, and has many routes that this page does not use. The gate lets
through what the page needs, gives every visitor a name of their own in a
cookie that no script can read, ties Gradio's sessions to it, and bounds the
bodies of requests, and how many of one visitor are worked on.
"""

import asyncio
import collections
import json
import re
import secrets
import urllib.parse

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from keras_vas.page.visitors import Visitor, network

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
_JOIN = f"{_API}/queue/join"
_CHECK = f"{_API}/run/predict"
_POSTED = (_JOIN, _CHECK, f"{_API}/cancel", f"{_API}/reset")
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
        queue: `layout.Queue`.
        limits: `Limits`.
        cookie: name of the cookie.
        hosts: host names under which the page may be asked for, `None` for
            any. Names that someone else points at this machine are not
            among them.
    """

    def __init__(self, app, queue, limits, cookie, hosts=None):
        self._app, self._queue, self._limits = app, queue, limits
        self._cookie, self._hosts = cookie, hosts
        self._visitors = collections.OrderedDict()

    async def __call__(self, scope, receive, send):
        """Handles one connection."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope)
        name, new = request.cookies.get(self._cookie, ""), None
        if not _TOKEN.fullmatch(name):
            name = new = secrets.token_urlsafe(32)
        visitor = Visitor(name, network(request.client.host))
        try:
            self._check_origin(request.headers)
            receive = await self._checked(
                request, receive, None if new else visitor
            )
        except RefusedError as refusal:
            await _answer(refusal, scope["path"])(scope, receive, send)
            return
        scope[VISITOR] = visitor
        await self._app(scope, receive, self._with_headers(send, new))

    def _check_origin(self, headers):
        host = headers.get("host", "").lower()
        if self._hosts is not None and _name_of(host) not in self._hosts:
            raise RefusedError(403, "This page is not served under that name.")
        origin = headers.get("origin", "").lower()
        if origin and origin not in (f"http://{host}", f"https://{host}"):
            raise RefusedError(
                403, "Requests from other sites are not answered."
            )

    async def _checked(self, request, receive, visitor):
        path, method = request.scope["path"], request.method
        if ".." in path.split("/"):
            raise RefusedError(404, "Not found.")
        if method in ("GET", "HEAD"):
            if path in _OPEN or path.startswith(_STATIC):
                return receive
            if path.startswith(_OWN):
                _require(visitor)
                self._claim(_session_of(request, path), visitor)
                return receive
        elif method == "POST" and path == UPLOAD:
            _require(visitor)
            return receive
        elif method == "POST" and path in _POSTED:
            _require(visitor)
            body = await self._body(receive, request.headers)
            fields = self._checked_fields(body, visitor)
            if path == _JOIN:
                self._check_event(fields, visitor)
            elif path == _CHECK and fields.get("fn_index") != self._queue.check:
                raise RefusedError(400, "There is no such event.")
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

    async def _body(self, receive, headers):
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                return await _read(receive, headers)
        except TimeoutError as error:
            raise RefusedError(408, "Sending took too long.") from error

    def _checked_fields(self, body, visitor):
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise RefusedError(400, "The request is no JSON object.")
        self._claim(fields.get("session_hash"), visitor)
        data = fields.get("data", [])
        event = fields.get("event_data")
        values = list(event.values()) if isinstance(event, dict) else [event]
        if not isinstance(data, list):
            raise RefusedError(400, "The request is of another kind.")
        # A dict could name a file of this machine, and Gradio would copy it.
        if not all(isinstance(x, _SCALAR) for x in [*data, *values]):
            raise RefusedError(400, "Values must be texts, numbers or nothing.")
        return fields

    def _check_event(self, fields, visitor):
        if fields.get("fn_index") not in self._queue.events:
            raise RefusedError(400, "There is no such event.")
        waiting = self._queue.waiting()
        near = sum(one.address == visitor.address for one in waiting)
        if (
            waiting.count(visitor) >= self._limits.requests_of_one
            or near >= self._limits.requests_of_address
        ):
            raise RefusedError(
                429, "Too many requests are waiting; try again in a minute."
            )

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


def _session_of(request, path):
    if path.startswith(f"{_API}/heartbeat/"):
        return path.rsplit("/", 1)[-1]
    if path == f"{_API}/queue/data":
        found = request.query_params.getlist("session_hash")
        if len(found) != 1:
            raise RefusedError(400, "Name one session.")
        return found[0]
    return None


def _name_of(host):
    """The name in a `Host` header, `None` where it is none."""
    try:
        place = urllib.parse.urlsplit(f"//{host}")
        name, port = place.hostname or "", place.port
    except ValueError:
        return None
    shown = f"[{name}]" if ":" in name else name
    return name if host in (shown, f"{shown}:{port}") else None


async def _read(receive, headers):
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


def _answer(refusal, path):
    closing = {"connection": "close"}
    if path in _POSTED:  # Gradio shows the detail
        content = {"detail": refusal.text}
        return JSONResponse(content, refusal.status, closing)
    return PlainTextResponse(refusal.text, refusal.status, closing)
