"""What is kept of visitors: uploads, visits, the temporary folder."""

import asyncio
import subprocess
import sys
import time
import types

import own_loop
import pytest

from keras_vas.errors import UserError
from keras_vas.page import finding
from keras_vas.page import temporary_folder as temporary
from keras_vas.page.inbox import Inbox, shown_name
from keras_vas.page.limits import Limits
from keras_vas.page.visitors import Visitor, first_to_go, network
from keras_vas.page.visits import Visits

LIMITS = Limits()
ANN, BOB, EVE = (
    Visitor(name, f"10.0.0.{i}") for i, name in enumerate(("ann", "bob", "eve"))
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/etc/passwd", "passwd"),
        ("C:\\clips\\dog.mp4", "dog.mp4"),
        ("a\x00b\n\u202ec.mp4", "a b c.mp4"),
        ("x" * 300 + ".mp4", "x" * 67 + "…" + "x" * 8 + ".mp4"),
        ("", "the file"),
        ("..", ".."),
    ],
)
def test_names_of_files_are_fit_to_be_shown(name, shown):
    assert shown_name(name) == shown


async def chunks(*parts):
    for part in parts:
        yield part


def receive(inbox, visitor, *parts):
    return own_loop.run(inbox.receive(visitor, "a.mp4", chunks(*parts)))


def test_only_the_sender_takes_an_upload(tmp_path):
    inbox = Inbox(tmp_path / "inbox", LIMITS)
    ticket = receive(inbox, ANN, b"1", b"2")
    with (
        pytest.raises(UserError, match="no longer here"),
        inbox.taken(BOB, ticket),
    ):
        pass
    with inbox.taken(ANN, ticket) as upload:
        assert upload.path.read_bytes() == b"12"
    assert not list(inbox.folder.iterdir())
    with (
        pytest.raises(UserError, match="no longer here"),
        inbox.taken(ANN, ticket),
    ):
        pass


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((bytes(2**20), b"1"), "a.mp4 is larger than 1 MB"),
        ((), "a.mp4 is empty"),
    ],
)
def test_uploads_are_neither_too_large_nor_empty(tmp_path, parts, words):
    inbox = Inbox(tmp_path / "inbox", Limits(megabytes=1))
    with pytest.raises(UserError, match=words):
        receive(inbox, ANN, *parts)
    assert not list(inbox.folder.iterdir())


@pytest.mark.parametrize("addresses", [1, 40])
def test_uploads_of_many_leave_room_for_one_more(tmp_path, addresses):
    inbox = Inbox(tmp_path / "inbox", LIMITS)
    for i in range(40):
        receive(inbox, Visitor(f"{i}", f"10.1.0.{i % addresses}"), b"1")
        assert len(list(inbox.folder.iterdir())) <= LIMITS.waiting_uploads
    ticket = receive(inbox, ANN, b"2")
    with inbox.taken(ANN, ticket) as upload:
        assert upload.path.read_bytes() == b"2"


def test_of_one_visitor_one_upload_is_kept(tmp_path):
    inbox = Inbox(tmp_path / "inbox", LIMITS)
    tickets = [receive(inbox, ANN, b"1") for _ in range(3)]
    assert [x.name for x in inbox.folder.iterdir()] == tickets[-1:]


def test_an_upload_that_must_make_room_ends(tmp_path):
    inbox = Inbox(tmp_path / "inbox", Limits(waiting_uploads=1))

    async def both():
        begun, gone_on = asyncio.Event(), asyncio.Event()

        async def slow():
            yield b"1"
            begun.set()
            await gone_on.wait()
            yield b"2"

        first = asyncio.create_task(inbox.receive(ANN, "a.mp4", slow()))
        await begun.wait()
        ticket = await inbox.receive(BOB, "b.mp4", chunks(b"3"))
        gone_on.set()
        with pytest.raises(UserError, match=r"a.mp4 had to make room"):
            await first
        return ticket

    ticket = own_loop.run(both())
    assert [x.name for x in inbox.folder.iterdir()] == [ticket]


@pytest.mark.parametrize("limit", ["stall_seconds", "upload_seconds"])
def test_an_upload_that_does_not_come_on_ends(tmp_path, limit):
    inbox = Inbox(tmp_path / "inbox", Limits(**{limit: 0.05}))

    async def slow():
        yield b"1"
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        own_loop.run(inbox.receive(ANN, "a.mp4", slow()))
    assert not list(inbox.folder.iterdir())


def test_a_broken_upload_leaves_nothing(tmp_path):
    async def broken():
        yield b"1"
        raise ConnectionResetError

    inbox = Inbox(tmp_path / "inbox", LIMITS)
    with pytest.raises(ConnectionResetError):
        own_loop.run(inbox.receive(ANN, "a.mp4", broken()))
    assert not list(inbox.folder.iterdir())


def test_a_visit_is_its_visitors_own(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    visit = visits.open(ANN, "1")
    assert visits.open(ANN, "1") is visit
    assert visits.open(ANN, "2") is not visit
    assert visits.open(BOB, "1") is not visit
    assert visits.of(ANN, visit.id) is visit
    assert visits.of(BOB, visit.id) is None
    with pytest.raises(UserError, match="Choose a video"):
        visits.current(ANN, "1")


def test_the_files_of_a_visit_end_with_it(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    visit = visits.open(ANN, "1")
    (visit.folder / "file").write_text("private")
    visits.end(BOB, "1")
    assert (visit.folder / "file").exists()
    visits.end(ANN, "1")
    assert visit.closed
    assert not visit.folder.exists()


def test_idle_visits_end_and_working_ones_do_not(tmp_path):
    visits = Visits(tmp_path, Limits(idle_seconds=100))
    idle, busy, fresh = (visits.open(ANN, x) for x in "123")
    idle.used = busy.used = time.monotonic() - 101
    with finding.work(busy):
        visits.sweep()
    assert [x.closed for x in (idle, busy, fresh)] == [True, False, False]


def test_visits_of_one_visitor_end_their_own_first(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    other = visits.open(BOB, "1")
    own = [visits.open(ANN, str(i)) for i in range(34)]
    assert not other.closed
    assert sum(not visit.closed for visit in own) == LIMITS.visits_of_one
    assert not own[-1].closed
    assert len(list(tmp_path.iterdir())) == LIMITS.visits_of_one + 1


def test_visits_from_one_address_end_their_own_first(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    other = visits.open(BOB, "1")
    crowd = [visits.open(Visitor(f"{i}", "10.1.0.1"), "1") for i in range(100)]
    assert not other.closed
    assert sum(not visit.closed for visit in crowd) == LIMITS.visits - 1


def test_of_equals_the_one_that_was_idle_longest_ends(tmp_path):
    visits = Visits(tmp_path, Limits(visits=3))
    working, first, second = (visits.open(x, "1") for x in (EVE, ANN, BOB))
    visits.open(ANN, "1")
    with finding.work(working):
        visits.open(Visitor("new", "10.0.0.9"), "1")
    assert [working.closed, first.closed, second.closed] == [False, False, True]


def test_who_gives_way():
    def held(*names):
        visitors = [Visitor(name, name[0]) for name in names]
        return [types.SimpleNamespace(visitor=one) for one in visitors]

    new = Visitor("a1", "a")
    for others, gone in (
        (["b1", "b2", "c1"], None),  # there is room
        (["a1", "a1", "b1", "b2"], 0),  # own ones above the own share
        (["a2", "b1", "b2", "b3"], 1),  # the largest address
        (["b1", "b2", "b2", "c1"], 1),  # its largest visitor
        (["b1", "b2", "a2", "c1"], 2),  # the own address among equals
        (["b1", "c1", "d1", "e1"], 0),  # the first among equals
    ):
        others = held(*others)
        expected = None if gone is None else others[gone]
        assert first_to_go(others, new, 4, 2) is expected


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1:2", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:2", "2001:db8::/64"),
        ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_of_ipv6_counts_with_its_neighbours(address, place):
    assert network(address) == place


def test_the_temporary_folder_is_private_and_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    with temporary.folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "file").write_text("private")
        temporary.remove_leftovers()
        assert (folder / "file").exists()
    assert not folder.exists()


def test_what_a_killed_program_left_is_removed(monkeypatch, tmp_path):
    program = (
        "import os, tempfile\n"
        "from keras_vas.page import temporary_folder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with temporary_folder.folder():\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program])
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    temporary.remove_leftovers()
    assert list(tmp_path.iterdir()) == []
