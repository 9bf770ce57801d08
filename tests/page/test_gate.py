"""Who may ask for what."""

import asyncio
import json

import own_loop
import pytest

from keras_vas.page.gate import VISITOR, Gate
from keras_vas.page.limits import Limits
from keras_vas.page.visitors import Visitor

LIMITS = Limits()
TOKEN, OTHER = "a" * 43, "b" * 43
JOIN = "/gradio_api/queue/join"


class Queue:
    """Events 0 to 2; nothing is waiting, or what a test puts in."""

    check = 4

    def __init__(self):
        self.events, self.asked = [0, 1, 2], []

    def waiting(self):
        return self.asked


def make_gate(limits=LIMITS):
    return Gate(None, Queue(), limits, "vas", ("127.0.0.1", "::1"))


def ask(gate, method, path, *, body=b"", cookie=TOKEN, query="", **headers):
    """`(status, name, headers)` of a request through a gate."""
    seen, sent = [], []
    gate = gate or make_gate()
    headers = {"host": "127.0.0.1:7860", **headers}
    if cookie:
        headers["cookie"] = f"vas={cookie}"
    scope = {
        "type": "http",
        "client": ("10.0.0.1", 1234),
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    async def inner(scope, receive, send):
        seen.append((scope[VISITOR].name, (await receive())["body"]))
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )

    gate._app = inner
    own_loop.run(gate(scope, receive, send))
    if seen:
        assert seen[0][1] == body
    return sent[0]["status"], seen and seen[0][0], dict(sent[0]["headers"])


def test_a_new_visitor_gets_a_name_that_scripts_cannot_read():
    status, visitor, headers = ask(None, "GET", "/", cookie=None)
    assert status == 200
    cookie = headers[b"set-cookie"].decode()
    assert cookie.startswith(f"vas={visitor}; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert ask(None, "GET", "/")[1] == TOKEN


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file=https://example.com"),
        ("GET", "/gradio_api/proxy=https://x.hf.space"),
        ("GET", "/gradio_api/stream/a/b/c/playlist.m3u8"),
        ("GET", "/gradio_api/info"),
        ("GET", "/monitoring"),
        ("GET", "/assets/../gradio_api/info"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/call/find"),
        ("POST", "/gradio_api/component_server"),
        ("PUT", "/upload"),
    ],
)
def test_what_the_page_does_not_use_is_not_there(method, path):
    assert ask(None, method, path)[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/upload"),
        ("POST", JOIN),
        ("GET", "/gradio_api/heartbeat/abc"),
        ("GET", "/results/a/b/masks.zip"),
    ],
)
@pytest.mark.parametrize("cookie", [None, "guess", "x" * 42 + ";"])
def test_strangers_are_not_served(method, path, cookie):
    assert ask(None, method, path, body=b"{}", cookie=cookie)[0] == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:7860.evil.example",
        "127.0.0.1:7860/evil",
        "evil@127.0.0.1:7860",
        "127.0.0.1@evil.example",
        "[::1",
        "[::1]evil",
        "",
    ],
)
def test_other_names_are_not_served(host):
    assert ask(None, "GET", "/", host=host)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "[::1]:7860"])
def test_the_own_names_are_served(host):
    assert ask(None, "GET", "/", host=host)[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://evil//127.0.0.1:7860",
        "http://evil.example/http://127.0.0.1:7860",
        "http://evil.example?//127.0.0.1:7860",
        "http://127.0.0.1:7860@evil.example",
        "http://127.0.0.1:7861",
        "http://127.0.0.1",
        "evil://127.0.0.1:7860",
        "//127.0.0.1:7860",
        "null",
    ],
)
def test_other_sites_are_not_served(origin):
    assert ask(None, "POST", "/upload", origin=origin)[0] == 403


def test_the_own_site_is_served():
    own = "http://127.0.0.1:7860"
    assert ask(None, "POST", "/upload", origin=own)[0] == 200


def joined(**fields):
    own = {"data": [], "session_hash": "s1", "fn_index": 1}
    return json.dumps({**own, **fields}).encode()


def test_a_session_belongs_to_who_began_it():
    gate = make_gate()
    assert ask(gate, "POST", JOIN, body=joined())[0] == 200
    data = "/gradio_api/queue/data"
    query = "session_hash=s1"
    assert ask(gate, "GET", data, query=query)[0] == 200
    assert ask(gate, "GET", data, query=query, cookie=OTHER)[0] == 403
    assert ask(gate, "POST", JOIN, body=joined(), cookie=OTHER)[0] == 403
    beat = "/gradio_api/heartbeat/s1"
    assert ask(gate, "GET", beat, cookie=OTHER)[0] == 403
    for twice in (
        "session_hash=s2&session_hash=s1",
        "session_hash=s2&session%5Fhash=s1",
    ):
        assert ask(gate, "GET", data, query=twice, cookie=OTHER)[0] == 400
    hidden = "session%5Fhash=s1"
    assert ask(gate, "GET", data, query=hidden, cookie=OTHER)[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        joined(data=[{"path": "/etc/passwd"}]),
        joined(data=[["a"]]),
        joined(data="text"),
        joined(event_data={"ticket": {"path": "/etc/passwd"}}),
        joined(event_data=["a"]),
        joined(event_data={"ticket": ["a"]}),
        joined(session_hash="../x"),
        joined(session_hash=["s1"]),
        joined(fn_index=-1),
        joined(fn_index=3),
        joined(fn_index=10**100),
        joined(fn_index="1"),
        joined(fn_index=[1]),
        joined(fn_index=None),
        b"[]",
        b"no json",
        b"[" * 100_000,
    ],
)
def test_events_with_anything_but_texts_and_numbers_are_refused(body):
    assert ask(None, "POST", JOIN, body=body)[0] == 400


def test_one_event_alone_goes_past_the_queue():
    past = "/gradio_api/run/predict"
    assert ask(None, "POST", past, body=joined(fn_index=4))[0] == 200
    assert ask(None, "POST", past, body=joined(fn_index=1))[0] == 400
    assert ask(None, "POST", JOIN, body=joined(fn_index=4))[0] == 400
    other = "/gradio_api/run/find"
    assert ask(None, "POST", other, body=joined(fn_index=4))[0] == 404
    body = joined(fn_index=4, data=[{"path": "/etc/passwd"}])
    assert ask(None, "POST", past, body=body)[0] == 400


def test_long_events_are_refused():
    assert ask(None, "POST", JOIN, body=joined(data=["a" * 2**18]))[0] == 413
    length = {"content-length": str(10**9)}
    assert ask(None, "POST", JOIN, body=joined(), **length)[0] == 413


@pytest.mark.parametrize("cookies", [1, 40])
def test_requests_that_wait_are_bounded(cookies):
    gate = make_gate()
    asked = gate._queue.asked
    answers = []
    for i in range(40):
        cookie = f"{i % cookies:043d}"
        body = joined(session_hash=f"s{i}")
        answers.append(ask(gate, "POST", JOIN, body=body, cookie=cookie)[0])
        if answers[-1] == 200:
            asked.append(Visitor(cookie, "10.0.0.1"))
    most = (
        LIMITS.requests_of_one if cookies == 1 else LIMITS.requests_of_address
    )
    assert answers == [200] * most + [429] * (40 - most)
    assert most < LIMITS.requests  # others find room
    asked[:] = [Visitor(x.name, "10.0.0.2") for x in asked]
    assert ask(gate, "POST", JOIN, body=joined(session_hash="new"))[0] == 200


def test_a_body_that_does_not_come_on_is_refused():
    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    sent = []
    scope = {
        "type": "http",
        "client": ("10.0.0.1", 1234),
        "method": "POST",
        "path": JOIN,
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"cookie", f"vas={TOKEN}".encode()),
        ],
    }
    gate = make_gate(Limits(stall_seconds=0.05))
    own_loop.run(gate(scope, receive, send))
    assert sent[0]["status"] == 408
