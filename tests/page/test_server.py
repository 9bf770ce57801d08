"""The page as a visitor meets it over HTTP."""

import io
import json
import pathlib
import signal
import socket
import zipfile

import cv2
import numpy as np
import page_visitor
import pytest
from page_visitor import SENTENCE, SIZE, Server, Visitor, wait_for

# One page is started for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]


@pytest.fixture
def visitor(server):
    return Visitor(server.url)


def links(text):
    """The addresses in some HTML."""
    return [part.split('"')[0] for part in text.split('href="')[1:]]


def test_only_this_computer_reaches_the_page(server):
    assert server.url.startswith("http://127.0.0.1:")
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionRefusedError):
        # it would be reached had it been bound to all addresses
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_visitor_gets_masks_that_no_one_else_can_read(server, visitor, video):
    data = video.read_bytes()
    assert "square.mp4: 8 frames of 128 x 64" in visitor.open(
        data, "square.mp4"
    )
    parts = visitor.find(f"{SENTENCE}\na dark square")
    assert "8 frames in" in parts["vas-status"]
    masks, overlay = links(parts["vas-download"])

    with zipfile.ZipFile(io.BytesIO(visitor.client.get(masks).content)) as got:
        found = json.loads(got.read("masks.json"))
        assert found["complete"]
        assert len(found["annotations"]) == 2 * len(found["images"]) == 16
        assert found["info"]["video"] == "square.mp4"
        folder = found["categories"][0]["folder"]
        mask = cv2.imdecode(
            np.frombuffer(got.read(f"masks/{folder}/00001.png"), np.uint8),
            cv2.IMREAD_UNCHANGED,
        )
    assert mask.shape == SIZE
    assert mask.any()
    part = visitor.client.get(overlay, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")

    other = Visitor(server.url)
    for link in (masks, overlay):
        assert other.client.get(link).status_code == 404
        other.client.cookies.clear()
        assert other.client.get(link).status_code == 403
        other = Visitor(server.url)
    for name in server.files():
        for root in ("", server.temporary):
            link = f"/gradio_api/file={pathlib.Path(root) / name}"
            assert visitor.client.get(link).status_code == 404
    clip = visitor.send(data).text
    assert "no longer here" in other.open_ticket(clip)
    assert "square" not in str(Visitor(server.url).find(SENTENCE))
    thief = Visitor(server.url)
    thief.session = visitor.session
    assert thief.join("Find", "click", [SENTENCE, 1, 1]).status_code == 403
    assert "clip.mp4: 8 frames" in visitor.open_ticket(clip)


def test_frames_and_word_attention_of_a_sample(visitor):
    shown = visitor.call("vas-samples", "select", (), {"sample": 0})
    assert len(shown["vas-sentences"].splitlines()) == 2
    assert "frame 9 of 16" in shown["vas-frame"]
    visitor.find(SENTENCE, every=5)
    frame = visitor.call("vas-slider", "input", [13])["vas-frame"]
    assert "frame 13 of 16" in frame
    assert SENTENCE in frame
    words = visitor.call("Show word attention", "click", [13, None])
    pictures = words["vas-words"].split("<figure>")[1:]
    captions = [x.split("<figcaption>")[1].split("<")[0] for x in pictures]
    assert captions == ["the", "bright", "square"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a video at all", "bad.mp4 holds no video that can be read"),
        (b"#EXTM3U\n/etc/passwd\n", "bad.mp4 holds no video"),
    ],
)
def test_a_bad_file_is_named(visitor, content, words):
    status = visitor.open(content, "bad.mp4")
    assert words in status
    assert 'role="alert"' in status


def test_large_and_empty_files_are_refused(server, visitor):
    large = visitor.send(bytes(2**20 + 1), "large.mp4")
    assert large.status_code == 400
    assert large.text == "large.mp4 is larger than 1 MB; give a smaller file."
    assert visitor.send(b"", "a.mp4").text.startswith("a.mp4 is empty")


def test_a_long_video_is_cut_and_says_so(visitor, tmp_path):
    path = page_visitor.write_video(tmp_path / "long.mp4", frames=30)
    status = visitor.open(path.read_bytes(), "long.mp4")
    assert "20 frames" in status
    assert "only the first 2 s are used" in status


def test_bad_requests_get_a_line_of_text(visitor):
    assert "Choose a video" in visitor.find(SENTENCE)["vas-status"]
    visitor.call("vas-samples", "select", (), {"sample": 1})
    for text, words in (
        ("", "Type a sentence"),
        ("\n".join("abcdefg"), "7 sentences are too many"),
    ):
        assert words in visitor.find(text)["vas-status"]
    for sent in ({"sample": 99}, {"sample": "x"}, "x", None):
        shown = visitor.call("vas-samples", "select", (), sent)
        assert "no such sample" in shown["vas-status"]
    shown = visitor.call("Show word attention", "click", [1, None])
    assert "Find something" in shown["vas-status"]


def test_what_the_model_does_not_know_is_told_before_the_run(visitor):
    def hint(text):
        return visitor.call("vas-sentences", "change", [text])["vas-hint"]

    assert hint("") == hint("the bright square\n") == ""
    told = hint("the bright square\na <dark> squirrel")
    assert told.count("<p ") == 1
    assert "squirrel" in told
    assert "<dark>" not in told
    assert "7 sentences are too many" in hint("\n".join("abcdefg"))


def test_texts_of_visitors_are_escaped(visitor, video):
    evil = "<img src=x onerror=alert(1)>"
    shown = visitor.open(video.read_bytes(), f"{evil}.mp4")
    assert evil not in shown
    assert evil not in str(visitor.find(evil))


def test_uploads_under_invented_names_block_nobody(server, visitor, video):
    import httpx

    cookie = next(iter(visitor.client.cookies))
    answers = [
        httpx.post(
            f"{server.url}/upload",
            content=b"1",
            headers={"cookie": f"{cookie}={i:043d}"},
        ).status_code
        for i in range(40)
    ]
    assert answers == [200] * 40
    assert "8 frames" in visitor.open(video.read_bytes())


def test_many_sessions_of_one_visitor_leave_others_alone(
    server, visitor, video
):
    visitor.open(video.read_bytes())
    crowd = Visitor(server.url)
    for i in range(34):
        crowd.session = f"{i:x}"
        crowd.call("vas-samples", "select", (), {"sample": 0})
    frame = visitor.call("vas-slider", "input", [3])["vas-frame"]
    assert "frame 3 of 8" in frame
    assert "8 frames in" in visitor.find(SENTENCE)["vas-status"]


def test_odd_requests_are_refused_without_a_traceback(server, visitor):
    before = server.log()
    fields = {"data": [], "session_hash": visitor.session, "fn_index": 0}
    odd = [
        *({**fields, "fn_index": x} for x in (-1, 99, 10**30, "0", [0], None)),
        {**fields, "session_hash": None},
        {**fields, "data": None},
        {**fields, "trigger_id": "x"},
        {"fn_index": 0},
        {},
    ]
    codes = [
        visitor.client.post(f"/gradio_api/queue/{path}", json=x).status_code
        for x in odd
        for path in ("join", "../cancel", "../reset")
    ]
    assert [code for code in codes if not 400 <= code < 500] == []
    assert server.log() == before


def test_closing_the_page_removes_its_files(server, visitor, video):
    before = set(server.files())
    visitor.open(video.read_bytes())
    visitor.find(SENTENCE)
    own = set(server.files()) - before
    assert {pathlib.Path(x).name for x in own} >= {"masks.zip", "00001.jpg"}
    beat = f"/gradio_api/heartbeat/{visitor.session}"
    with visitor.client.stream("GET", beat) as stream:
        lines = stream.iter_lines()  # the connection lasts as long as this
        next(lines)
        assert own <= set(server.files())
    wait_for(lambda: not own & set(server.files()))


def test_the_end_of_the_program_removes_everything(
    repository, server, tmp_path
):
    server = Server(repository, tmp_path, model=server.flags["model"])
    visitor = Visitor(server.url)
    visitor.call("vas-samples", "select", (), {"sample": 0})
    assert list(tmp_path.glob("keras_vas_page_*"))
    assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("keras_vas_page_*"))
    assert "Traceback" not in server.log()
