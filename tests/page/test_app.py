"""The page as a visitor meets it: over HTTP, and in a real browser."""

import importlib.util
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import zipfile

import cv2
import numpy as np
import page_visitor
import pytest
import small_run
from page_visitor import Server, Visitor, wait_for

QUERY = "the bright square"
SIZE = (64, 128)


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    """The program, with a model that finds something everywhere."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("no Gradio: pip install 'keras_vas[app]'")
    run = small_run.make(tmp_path_factory.mktemp("run"))
    server = Server(
        repository,
        tmp_path_factory.mktemp("temporary"),
        model=run,
        max_megabytes=1,
        max_seconds=2,
    )
    yield server
    server.stop()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "square.mp4"
    return page_visitor.write_video(path, frames=8, size=SIZE)


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
    parts = visitor.find(f"{QUERY}\na dark square")
    assert "8 frames in" in parts["vas-status"]
    masks, overlay = links(parts["vas-download"])

    with zipfile.ZipFile(io.BytesIO(visitor.client.get(masks).content)) as got:
        found = json.loads(got.read("masks.json"))
        assert found["complete"]
        assert [len(x["masks"]) for x in found["frames"]] == [2] * 8
        assert found["video"] == "square.mp4"
        folder = found["queries"][0]["folder"]
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
    assert "square" not in str(Visitor(server.url).find(QUERY))
    thief = Visitor(server.url)
    thief.session = visitor.session
    assert thief.join("Find", "click", [QUERY, 1, 1]).status_code == 403
    assert "clip.mp4: 8 frames" in visitor.open_ticket(clip)


def test_frames_and_word_attention_of_a_sample(visitor):
    shown = visitor.call("vas-samples", "select", (), {"sample": 0})
    assert len(shown["vas-text"].splitlines()) == 2
    assert "frame 9 of 16" in shown["vas-frame"]
    visitor.find(QUERY, every=5)
    frame = visitor.call("vas-slider", "input", [13])["vas-frame"]
    assert "frame 13 of 16" in frame
    assert QUERY in frame
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
    assert "Choose a video" in visitor.find(QUERY)["vas-status"]
    visitor.call("vas-samples", "select", (), {"sample": 1})
    for text, words in (
        ("", "Type a sentence"),
        ("\n".join("abcdefg"), "7 sentences are too many"),
    ):
        assert words in visitor.find(text)["vas-status"]
    for sent in ({"sample": 99}, {"sample": "x"}, None):
        shown = visitor.call("vas-samples", "select", (), sent)
        assert "no such sample" in shown["vas-status"]
    shown = visitor.call("Show word attention", "click", [1, None])
    assert "Find something" in shown["vas-status"]


def test_texts_of_visitors_are_escaped(visitor, video):
    evil = "<img src=x onerror=alert(1)>"
    shown = visitor.open(video.read_bytes(), f"{evil}.mp4")
    assert evil not in shown
    assert evil not in str(visitor.find(evil))


def test_closing_the_page_removes_its_files(server, visitor, video):
    before = set(server.files())
    visitor.open(video.read_bytes())
    visitor.find(QUERY)
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


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PIXELS = """(image) => {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [canvas.height, canvas.width, Array.from(
    context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""
WIDER_THAN_THE_SCREEN = (
    "document.documentElement.scrollWidth > window.innerWidth"
)


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no browser: install chromium, such as Debian's package")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=QUIET
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server, request):
    width = getattr(request, "param", 1280)
    page = browser.new_page(viewport={"width": width, "height": 850})
    page.set_default_timeout(1000 * page_visitor.SECONDS)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.url)
    page.get_by_role("button", name="Find").wait_for()
    yield page
    folder = os.environ.get("KERAS_VAS_SCREENSHOTS")
    if folder:
        name = request.node.name.replace("/", "_")
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    page.close()
    assert not problems


def shown_pixels(page):
    """The picture on the page, float RGB `(height, width, 3)`."""
    image = page.locator("#vas-frame img")
    image.wait_for()
    height, width, values = image.evaluate(PIXELS)
    return np.array(values, float).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_the_picture_changes_where_the_mask_is(page, video):
    page.locator("#vas-upload input[type=file]").set_input_files(video)
    page.get_by_text("square.mp4: 8 frames").wait_for()
    before = shown_pixels(page)
    page.get_by_label("Who are you looking for?").fill(QUERY)
    page.get_by_role("button", name="Find").click()
    with page.expect_download() as download:
        page.get_by_text("Download the masks").click()
    after = shown_pixels(page)

    with zipfile.ZipFile(download.value.path()) as archive:
        name = "masks/1_the_bright_square/00005.png"
        mask = cv2.imdecode(
            np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED
        )
    times = before.shape[0] // mask.shape[0]
    assert before.shape[:2] == after.shape[:2]
    assert before.shape[:2] == (times * SIZE[0], times * SIZE[1])
    mask = mask.repeat(times, axis=0).repeat(times, axis=1)
    # outlines, and the blocks of JPEG, lie on both sides of an edge
    kernel = np.ones((25, 25), np.uint8)
    inside = cv2.erode(mask, kernel) > 0
    outside = cv2.dilate(mask, kernel) == 0
    assert inside.sum() > 100
    assert outside.sum() > 100
    change = np.abs(after - before).mean(axis=2)
    assert change[inside].mean() > 20
    assert change[outside].mean() < 2

    assert QUERY in page.locator(".vas-legend").inner_text()
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    page.get_by_role("tab", name="Video").click()
    plays = "() => document.querySelector('video')?.videoWidth >= 320"
    page.wait_for_function(plays)


def test_frames_words_and_two_colours_of_a_sample(page):
    page.locator("#vas-samples button").first.click()
    page.get_by_text("frame 9 of 16").wait_for()
    box = page.get_by_label("Who are you looking for?")
    assert len(box.input_value().splitlines()) == 2
    page.get_by_role("button", name="Find").click()
    page.get_by_text("Download the masks").wait_for()
    colours = page.locator(".vas-legend i").evaluate_all(
        "(all) => all.map((x) => getComputedStyle(x).backgroundColor)"
    )
    assert len(set(colours)) == 2
    before = shown_pixels(page)
    page.get_by_role("slider").first.press("ArrowRight")
    page.get_by_text("frame 10 of 16").wait_for()
    # frames 9 and 10 are drawn alike, and seen in other clips
    assert shown_pixels(page).shape == before.shape
    page.get_by_role("tab", name="Words").click()
    page.get_by_role("button", name="Show word attention").click()
    page.locator(".vas-words img").first.wait_for()
    words = page.locator(".vas-words figcaption").all_inner_texts()
    first = box.input_value().splitlines()[0]
    assert words == first.replace(":", " :").split()


def test_mistakes_are_told_on_the_page(page, tmp_path):
    alert = page.locator("#vas-status [role=alert]")
    bad = tmp_path / "holiday.mp4"
    bad.write_text("no video")
    chooser = page.locator("#vas-upload input[type=file]")
    chooser.set_input_files(bad)
    alert.get_by_text("holiday.mp4 holds no video").wait_for()
    bad.write_bytes(bytes(2**20 + 1))
    chooser.set_input_files(bad)
    alert.get_by_text("holiday.mp4 is larger than 1 MB").wait_for()
    page.get_by_role("button", name="Find").click()
    alert.get_by_text("Choose a video or a sample first").wait_for()
    page.locator("#vas-samples button").first.click()
    page.get_by_text("frame 9 of 16").wait_for()
    page.get_by_label("Who are you looking for?").fill(" ")
    page.get_by_role("button", name="Find").click()
    alert.get_by_text("Type a sentence").wait_for()
    assert page.get_by_text("Download the masks").count() == 0


def test_work_is_stopped_and_begun_again(page, tmp_path):
    path = page_visitor.write_video(tmp_path / "wide.mp4", 20, (240, 480))
    page.locator("#vas-upload input[type=file]").set_input_files(path)
    page.get_by_text("wide.mp4: 20 frames").wait_for()
    page.get_by_label("Who are you looking for?").fill("a\nb\nc\nd\ne\nf")
    page.get_by_role("button", name="Find").click()
    page.get_by_text("Frame ", exact=False).and_(
        page.locator("#vas-status p")
    ).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    page.get_by_label("Who are you looking for?").fill(QUERY)
    page.get_by_role("button", name="Find").click()
    download = page.get_by_text("Download the masks")
    download.wait_for()
    assert download.is_visible()


def test_closing_the_tab_removes_its_files(page, server, video):
    before = set(server.files())
    page.locator("#vas-upload input[type=file]").set_input_files(video)
    page.get_by_text("square.mp4: 8 frames").wait_for()
    own = set(server.files()) - before
    assert own
    page.goto("about:blank")
    wait_for(lambda: not own & set(server.files()))
