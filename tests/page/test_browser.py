"""The page in a real browser."""

import importlib.util
import os
import shutil
import zipfile

import cv2
import numpy as np
import page_visitor
import pytest
from page_visitor import SENTENCE, SIZE, wait_for

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


@pytest.fixture(scope="session")
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
    page.get_by_label("Who are you looking for?").fill(SENTENCE)
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

    assert SENTENCE in page.locator(".vas-legend").inner_text()
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
    page.get_by_label("Who are you looking for?").fill(SENTENCE)
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
