"""Connections that send nothing do not shut others out."""

import contextlib
import socket
import threading

import pytest
from page_visitor import wait_for
from patience import SECONDS

from keras_vas.page.limits import Limits

FEW = 8
HALF = b"GET / HTTP/1.1\r\nHost: x\r\n"
WHOLE = HALF + b"\r\n"


async def application(scope, receive, send):
    """Reads a request and answers."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.contextmanager
def served(limits, proxy=None, application=application):
    """Runs a server; yields it, and its address."""
    pytest.importorskip("uvicorn", reason="pip install 'keras_vas[app]'")
    from keras_vas.page.application import server

    listening = socket.create_server(("127.0.0.1", 0))
    made = server(application, limits, proxy)
    thread = threading.Thread(
        target=made.run, kwargs={"sockets": [listening]}, daemon=True
    )
    thread.start()
    wait_for(lambda: made.started)
    try:
        yield made, listening.getsockname()
    finally:
        made.should_exit = True
        thread.join(SECONDS)


@contextlib.contextmanager
def connected(address, number, data):
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(number):
            one = socket.create_connection(address, timeout=SECONDS)
            sockets.append(stack.enter_context(one))
            one.sendall(data)
        yield sockets


def is_closed(one):
    """Whether the server closed a connection; waits for what it sends."""
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def status(address):
    with connected(address, 1, WHOLE) as (one,):
        return one.recv(12)


def test_heads_that_do_not_come_on_are_not_waited_for():
    with (
        served(Limits(head_seconds=0.3)) as (made, address),
        connected(address, FEW, HALF) as halves,
        connected(address, FEW, b"") as silent,
    ):
        assert sum(map(is_closed, halves + silent)) == 2 * FEW
        wait_for(lambda: not made.server_state.connections)


def test_a_head_has_no_more_time_after_an_answer():
    with (
        served(Limits(head_seconds=0.3)) as (_, address),
        connected(address, FEW, WHOLE + HALF) as halves,
    ):
        for one in halves:
            while not is_closed(one):
                pass


def test_300_half_sent_requests_shut_nobody_out():
    limits = Limits(head_seconds=SECONDS)
    with (
        served(limits) as (made, address),
        connected(address, 300, HALF) as halves,
    ):
        assert status(address) == b"HTTP/1.1 200"
        held = len(made.server_state.connections)
        assert held <= limits.connections_of_one < limits.connections
        gone = 300 + 1 - limits.connections_of_one
        assert sum(map(is_closed, halves[:gone])) == gone


def test_connections_in_use_stay():
    limits = Limits(connections_of_one=FEW, head_seconds=SECONDS)
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    with (
        served(limits) as (made, address),
        connected(address, FEW, post) as working,
    ):
        wait_for(lambda: len(made.server_state.tasks) == FEW)
        with connected(address, 1, WHOLE) as (late,):
            assert is_closed(late)
        for one in working:
            one.sendall(b"123456789")
            assert one.recv(12) == b"HTTP/1.1 200"


def test_a_proxy_may_have_many_connections():
    limits = Limits(connections_of_one=FEW, head_seconds=SECONDS)
    with (
        served(limits, "127.0.0.1") as (made, address),
        connected(address, 2 * FEW, HALF),
    ):
        wait_for(lambda: len(made.server_state.connections) == 2 * FEW)


@pytest.mark.parametrize(
    ("proxy", "seen"), [(None, "127.0.0.1"), ("127.0.0.1", "203.0.113.7")]
)
def test_only_a_proxy_says_who_is_behind_it(proxy, seen):
    request = HALF + b"X-Forwarded-For: 203.0.113.7\r\n\r\n"
    clients = []

    async def noting(scope, receive, send):
        clients.append(scope["client"][0])
        await application(scope, receive, send)

    with (
        served(Limits(), proxy, noting) as (_, address),
        connected(address, 1, request) as (one,),
    ):
        assert one.recv(12) == b"HTTP/1.1 200"
    assert clients == [seen]
