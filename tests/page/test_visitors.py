"""What is kept of visitors: uploads, visits, the temporary folder."""

import asyncio
import subprocess
import sys
import time

import pytest

from keras_vas.errors import UserError
from keras_vas.page import finding
from keras_vas.page import temporary_folder as temporary
from keras_vas.page.inbox import Inbox, shown_name
from keras_vas.page.limits import Limits
from keras_vas.page.visits import Visits

LIMITS = Limits()


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
    return asyncio.run(inbox.receive(visitor, "a.mp4", chunks(*parts)))


def test_only_the_sender_takes_an_upload(tmp_path):
    inbox = Inbox(tmp_path / "inbox", LIMITS)
    ticket = receive(inbox, "ann", b"1", b"2")
    with pytest.raises(UserError, match="no longer here"):
        inbox.take("bob", ticket)
    assert inbox.take("ann", ticket).path.read_bytes() == b"12"
    inbox.drop(ticket)
    assert not list(inbox.folder.iterdir())
    with pytest.raises(UserError, match="no longer here"):
        inbox.take("ann", ticket)


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
        receive(inbox, "ann", *parts)
    assert not list(inbox.folder.iterdir())


def test_uploads_that_wait_are_bounded(tmp_path):
    inbox = Inbox(tmp_path / "inbox", Limits(waiting_uploads=2))
    receive(inbox, "ann", b"1")
    receive(inbox, "ann", b"2")  # takes the place of the first
    receive(inbox, "bob", b"3")
    assert len(list(inbox.folder.iterdir())) == 2
    with pytest.raises(UserError, match="Too many videos"):
        receive(inbox, "eve", b"4")


def test_a_broken_upload_leaves_nothing(tmp_path):
    async def broken():
        yield b"1"
        raise ConnectionResetError

    inbox = Inbox(tmp_path / "inbox", LIMITS)
    with pytest.raises(ConnectionResetError):
        asyncio.run(inbox.receive("ann", "a.mp4", broken()))
    assert not list(inbox.folder.iterdir())


def test_a_visit_is_its_visitors_own(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    visit = visits.open("ann", "1")
    assert visits.open("ann", "1") is visit
    assert visits.open("ann", "2") is not visit
    assert visits.open("bob", "1") is not visit
    assert visits.of("ann", visit.id) is visit
    assert visits.of("bob", visit.id) is None
    with pytest.raises(UserError, match="Choose a video"):
        visits.current("ann", "1")


def test_the_files_of_a_visit_end_with_it(tmp_path):
    visits = Visits(tmp_path, LIMITS)
    visit = visits.open("ann", "1")
    (visit.folder / "file").write_text("private")
    visits.end("bob", "1")
    assert (visit.folder / "file").exists()
    visits.end("ann", "1")
    assert visit.closed
    assert not visit.folder.exists()


def test_idle_visits_end_and_working_ones_do_not(tmp_path):
    visits = Visits(tmp_path, Limits(idle_seconds=100))
    idle, busy, fresh = (visits.open("ann", x) for x in "123")
    idle.used = busy.used = time.monotonic() - 101
    with finding.work(busy):
        visits.sweep()
    assert [x.closed for x in (idle, busy, fresh)] == [True, False, False]


def test_visits_are_bounded(tmp_path):
    visits = Visits(tmp_path, Limits(visits=2))
    first, second = visits.open("ann", "1"), visits.open("bob", "1")
    visits.open("ann", "1")
    visits.open("eve", "1")
    assert [first.closed, second.closed] == [False, True]
    assert len(list(tmp_path.iterdir())) == 2


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
