"""Who may ask for what."""

import asyncio
import json

import pytest

from keras_vas.page.gate import VISITOR, Gate

TOKEN, OTHER = "a" * 43, "b" * 43
JOIN = "/gradio_api/queue/join"


def ask(gate, method, path, *, body=b"", cookie=TOKEN, query="", **headers):
    """`(status, visitor, headers)` of a request through a gate."""
    seen, sent = [], []
    headers = {"host": "127.0.0.1:7860", **headers}
    if cookie:
        headers["cookie"] = f"vas={cookie}"
    scope = {
        "type": "http",
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
        seen.append((scope[VISITOR], (await receive())["body"]))
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )

    gate = gate or Gate(inner, "vas", ["127.0.0.1"])
    gate._app = inner
    asyncio.run(gate(scope, receive, send))
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
        ("POST", "/gradio_api/run/predict"),
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


def test_other_sites_and_names_are_not_served():
    assert ask(None, "GET", "/", host="evil.example")[0] == 403
    assert ask(None, "GET", "/", host="127.0.0.1.evil.example")[0] == 403
    assert ask(None, "POST", "/upload", origin="http://evil.example")[0] == 403
    assert ask(None, "POST", "/upload", origin="null")[0] == 403
    own = "http://127.0.0.1:7860"
    assert ask(None, "POST", "/upload", origin=own)[0] == 200


def joined(**fields):
    return json.dumps({"data": [], "session_hash": "s1", **fields}).encode()


def test_a_session_belongs_to_who_began_it():
    gate = Gate(None, "vas", ["127.0.0.1"])
    assert ask(gate, "POST", JOIN, body=joined())[0] == 200
    data = "/gradio_api/queue/data"
    query = "session_hash=s1"
    assert ask(gate, "GET", data, query=query)[0] == 200
    assert ask(gate, "GET", data, query=query, cookie=OTHER)[0] == 403
    assert ask(gate, "POST", JOIN, body=joined(), cookie=OTHER)[0] == 403
    beat = "/gradio_api/heartbeat/s1"
    assert ask(gate, "GET", beat, cookie=OTHER)[0] == 403
    twice = "session_hash=s2&session_hash=s1"
    assert ask(gate, "GET", data, query=twice, cookie=OTHER)[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        joined(data=[{"path": "/etc/passwd"}]),
        joined(data=[["a"]]),
        joined(data="text"),
        joined(event_data={"ticket": {"path": "/etc/passwd"}}),
        joined(event_data=["a"]),
        joined(session_hash="../x"),
        joined(session_hash=["s1"]),
        b"[]",
        b"no json",
        b"[" * 100_000,
    ],
)
def test_events_with_anything_but_texts_and_numbers_are_refused(body):
    assert ask(None, "POST", JOIN, body=body)[0] == 400


def test_long_events_are_refused():
    assert ask(None, "POST", JOIN, body=joined(data=["a" * 2**18]))[0] == 413
    length = {"content-length": str(10**9)}
    assert ask(None, "POST", JOIN, body=joined(), **length)[0] == 413
