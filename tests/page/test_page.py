"""The parts of the page that need neither a model nor Gradio."""

import asyncio
import base64
import json
import subprocess
import sys
import time
import types

import cv2
import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.page import (
    decoding,
    fragments,
    samples,
    segmenting,
    stored_clip,
)
from keras_vas.page import temporary_folder as temporary
from keras_vas.page.gate import VISITOR, Gate
from keras_vas.page.inbox import Inbox, shown_name
from keras_vas.page.limits import Limits
from keras_vas.page.visits import Visits

LIMITS = Limits(seconds=2.0, frames=30, side=96, decode_megabytes=1500)


def written(path, frames=6, size=(64, 128), fps=10.0, codec="vp09"):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*codec), fps, size[::-1]
    )
    for i in range(frames):
        writer.write(np.full((*size, 3), 20 + 10 * (i % 20), np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return written(tmp_path_factory.mktemp("video") / "clip.mp4")


def test_a_decoded_clip_has_the_frames_and_times_of_the_video(video, tmp_path):
    clip = decoding.decode(
        video, tmp_path / "clip", "clip.mp4", Limits(side=128)
    )
    assert len(clip) == 6
    assert clip.size == clip.source_size == (64, 128)
    np.testing.assert_allclose(clip.times, np.arange(6) / 10, atol=1e-3)
    for number in range(1, 7):
        image = clip.image(number)
        assert image.shape == (64, 128, 3)
        assert abs(image.mean() - (10 + 10 * number)) < 5
    assert [f.number for f in clip.video()] == [1, 2, 3, 4, 5, 6]
    assert clip.cut == ""


def test_large_frames_are_scaled_down(video, tmp_path):
    clip = decoding.decode(video, tmp_path / "clip", "clip.mp4", LIMITS)
    assert (clip.size, clip.source_size) == ((48, 96), (64, 128))
    assert clip.image(1).shape == (48, 96, 3)


@pytest.mark.parametrize(
    ("changed", "cut", "frames"),
    [
        ({"seconds": 0.35}, "seconds", 4),
        ({"frames": 2}, "frames", 2),
        ({"stored_megabytes": 0}, "megabytes", 1),
    ],
)
def test_a_long_video_is_cut(video, tmp_path, changed, cut, frames):
    clip = decoding.decode(video, tmp_path / "c", "clip.mp4", Limits(**changed))
    assert (clip.cut, len(clip)) == (cut, frames)


def test_a_gif_and_a_single_picture_are_clips(tmp_path):
    picture = tmp_path / "picture"
    picture.write_bytes(
        cv2.imencode(".png", np.full((50, 40, 3), 77, np.uint8))[1].tobytes()
    )
    clip = decoding.decode(picture, tmp_path / "one", "picture.png", LIMITS)
    assert len(clip) == 1
    assert clip.image(1).mean() == pytest.approx(77, abs=1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is no video",
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(500),
    ],
)
def test_a_file_without_pictures_is_named(tmp_path, content):
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"^holiday.mp4 holds no video"
    ) as error:
        decoding.decode(path, tmp_path / "clip", "holiday.mp4", LIMITS)
    assert str(tmp_path) not in str(error.value)
    assert not (tmp_path / "clip").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ""])
@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_a_play_list_cannot_read_other_files(tmp_path, kind, suffix):
    secret = written(tmp_path / "secret.avi", codec="MJPG")
    text = {
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.0,\n"
        f"{secret}\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile secret.avi\n",
    }[kind]
    path = tmp_path / f"upload{suffix}"
    path.write_text(text)
    with pytest.raises(UserError, match="holds no video"):
        decoding.decode(path, tmp_path / "clip", "a.mp4", LIMITS)


def test_a_play_list_would_be_read_without_the_list_of_containers(tmp_path):
    """Shows that the test above tests something."""
    written(tmp_path / "secret.avi", codec="MJPG")
    path = tmp_path / "upload.ffconcat"
    path.write_text("ffconcat version 1.0\nfile secret.avi\n")
    assert cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()[0]


def test_a_picture_that_needs_too_much_memory_is_refused(tmp_path):
    bomb = np.zeros((12000, 12000), np.uint8)
    data = cv2.imencode(".png", bomb, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    path = tmp_path / "upload"
    path.write_bytes(data.tobytes())
    assert path.stat().st_size < 2**20
    with pytest.raises(UserError, match=r"^bomb.png "):
        decoding.decode(
            path, tmp_path / "c", "bomb.png", Limits(decode_megabytes=600)
        )


def test_decoding_ends_when_its_time_is_over(tmp_path):
    path = written(tmp_path / "slow.mp4", frames=200, size=(480, 640))
    limits = Limits(decode_seconds=0.3)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"slow.mp4 takes longer than 0.3 s"):
        decoding.decode(path, tmp_path / "clip", "slow.mp4", limits)
    assert time.monotonic() - start < 10
    assert not (tmp_path / "clip").exists()


def test_frames_around_a_frame_are_those_of_its_clip(video, tmp_path):
    clip = decoding.decode(
        written(tmp_path / "v.mp4", frames=20), tmp_path / "c", "v", LIMITS
    )
    frames, place = clip.around(12)
    assert (len(frames), place) == (15, 9)
    np.testing.assert_array_equal(frames[place - 1], clip.image(12))
    frames, place = clip.around(2)
    assert (len(frames), place) == (8, 2)


def test_samples_are_clips_with_sentences(tmp_path):
    drawn = samples.draw(tmp_path, LIMITS)
    assert len(drawn) == samples.NUMBER
    for sample in drawn:
        assert len(sample.clip) == 16
        assert len(sample.sentences) == 2
        # each drawn frame is shown twice
        before, after = sample.clip.image(1), sample.clip.image(2)
        np.testing.assert_array_equal(before, after)
        assert not np.array_equal(after, sample.clip.image(3))


def test_sentences_are_lines():
    text = "  the dog \n\n\tthe\tcat\n"
    assert segmenting.sentences(text, LIMITS) == ["the dog", "the cat"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Type a sentence"),
        (" \n ", "Type a sentence"),
        (None, "Type a sentence"),
        ("a\n" * 7, "7 sentences are too many; give at most 6"),
        ("a" * 201, "has 201 letters"),
    ],
)
def test_sentences_that_cannot_be_used(text, words):
    with pytest.raises(UserError, match=words):
        segmenting.sentences(text, LIMITS)


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
    with segmenting.work(busy):
        visits.sweep()
    assert [x.closed for x in (idle, busy, fresh)] == [True, False, False]


def test_visits_are_bounded(tmp_path):
    visits = Visits(tmp_path, Limits(visits=2))
    first, second = visits.open("ann", "1"), visits.open("bob", "1")
    visits.open("ann", "1")
    visits.open("eve", "1")
    assert [first.closed, second.closed] == [False, True]
    assert len(list(tmp_path.iterdir())) == 2


def test_one_thing_is_done_for_a_visit_at_a_time(tmp_path):
    visit = Visits(tmp_path, LIMITS).open("ann", "1")
    with (
        segmenting.work(visit),
        pytest.raises(UserError, match="still being worked on"),
        segmenting.work(visit),
    ):
        pass
    with segmenting.work(visit):
        visit.end()
        visit.folder.mkdir()  # what the work still wrote
    assert not visit.folder.exists()


def test_word_attention_is_brightest_where_a_word_fits_best():
    maps = np.full((2, 8, 16), -30.0, np.float32)
    maps[0, :4, :4] = maps[1, 4:, 12:] = -20.0
    picture = np.full((64, 128, 3), 128, np.uint8)
    text = fragments.attention(["<b>", "dog"], maps, picture)
    assert "<b>" not in text
    shown = [
        cv2.imdecode(
            np.frombuffer(base64.b64decode(part.split('"')[0]), np.uint8),
            cv2.IMREAD_GRAYSCALE,
        )
        for part in text.split("base64,")[1:]
    ]
    height, width = shown[0].shape
    corners = [
        (x[5, 5] > x.mean() + 50, x[height - 6, width - 6] > x.mean() + 50)
        for x in shown
    ]
    assert corners == [(True, False), (False, True)]


class Slow:
    """A predictor that finds everything everywhere."""

    def stream(self, video, queries, every):
        for frame in video:
            yield types.SimpleNamespace(
                number=frame.number,
                time_seconds=frame.time_seconds,
                frame=frame.image,
                probabilities=np.ones((len(queries), *frame.image.shape[:2])),
                scores=np.ones(len(queries), np.float32),
            )


@pytest.fixture
def visit(tmp_path):
    visit = Visits(tmp_path / "visits", LIMITS).open("ann", "1")
    frames = ((i / 10, np.full((32, 32, 3), i, np.uint8)) for i in range(4))
    folder = visit.new_folder()
    stored_clip.write(folder, frames, 10.0, LIMITS)
    visit.show(stored_clip.StoredClip(folder, "drawn"))
    return visit


def test_a_new_result_takes_the_place_of_the_old_one(visit):
    for sentence in ("one", "two"):
        list(segmenting.segment(Slow(), visit, [sentence], 1))
    assert visit.result.found.queries == ("two",)
    names = {path.name for path in visit.folder.iterdir()}
    assert names == {visit.clip.folder.name, visit.result.id}


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_work_that_is_stopped_leaves_nothing(visit, monkeypatch, how):
    monkeypatch.setattr(segmenting, "_REPORT_SECONDS", 0.0)
    work = segmenting.segment(Slow(), visit, ["one"], 1)
    assert next(work).done == 1
    setattr(visit, how, True)
    assert list(work) == []
    assert visit.result is None
    assert [x.name for x in visit.folder.iterdir()] == [visit.clip.folder.name]


def test_another_clip_removes_the_files_of_the_last(visit, tmp_path):
    list(segmenting.segment(Slow(), visit, ["one"], 1))
    other = samples.draw(tmp_path / "samples", LIMITS)[0].clip
    visit.show(other)
    assert visit.result is None
    assert list(visit.folder.iterdir()) == []
    visit.show(other)
    visit.end()
    assert other.image(1).size  # samples belong to all


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
