"""The page in a real browser."""

import base64
import importlib.util
import itertools
import os
import shutil
import zipfile

import cv2
import numpy as np
import page_visitor
import patience
import pytest
from page_visitor import SENTENCE, SIZE, wait_for

# One page is started for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

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
FOCUSED = """() => {
  const focused = document.activeElement;
  return [focused.labels?.[0]?.innerText, focused.innerText,
    focused.ariaLabel, focused.querySelector('img')?.alt].join(' ');
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


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """So long that work cannot end before it is stopped."""
    path = tmp_path_factory.mktemp("long") / "wide.mp4"
    return page_visitor.write_video(path, 299, (240, 480), 150)


@pytest.fixture
def page(browser, server, request):
    width, scheme = getattr(request, "param", (1280, "light"))
    page = browser.new_page(
        viewport={"width": width, "height": 850}, color_scheme=scheme
    )
    page.set_default_timeout(1000 * patience.SECONDS)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.url)
    button(page, "Find").wait_for()
    yield page
    folder = os.environ.get("KERAS_VAS_SCREENSHOTS")
    if folder:
        name = request.node.name.replace("/", "_")
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    page.close()
    assert not problems


def check_that_all_can_use_it(page):
    """What axe finds on the page as it is."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response
    assert len(found["passes"]) > 30
    assert not [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def choose(page, video):
    page.locator("#vas-upload input[type=file]").set_input_files(video)


def turn_to_frames(page):
    """Waits until the result is there, and turns to its frames."""
    page.get_by_text("Download the masks").wait_for()
    page.get_by_role("tab", name="Frames").click()


def shown_pixels(page):
    """The picture on the page, float RGB `(height, width, 3)`."""
    source = page.locator("#vas-frame img").get_attribute("src")
    data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1].astype(float)


@pytest.mark.parametrize(
    "page",
    itertools.product((1280, 390), ("light", "dark")),
    indirect=True,
    ids=str,
)
def test_all_can_use_every_state(page, long_video):
    check_that_all_can_use_it(page)
    button(page, "Find").click()
    page.locator("#vas-status [role=alert]").wait_for()
    check_that_all_can_use_it(page)
    choose(page, long_video)
    page.get_by_text("frame 150 of 299").wait_for()
    page.get_by_label("Who are you looking for?").fill("a\nb\nc\nd\ne\nf")
    page.get_by_text("It does not know: b, c, d, e, f.").wait_for()
    button(page, "Find").click()
    progress = page.get_by_role("progressbar", name="Frames")
    progress.wait_for()
    check_that_all_can_use_it(page)
    assert progress.is_visible()  # still
    button(page, "Stop").click()
    page.get_by_text("Stopped.").wait_for()
    page.get_by_label("10th").check()
    button(page, "Find").click()
    page.locator("#vas-video video").wait_for()
    check_that_all_can_use_it(page)
    turn_to_frames(page)
    check_that_all_can_use_it(page)
    page.get_by_role("tab", name="Words").click()
    button(page, "Show word attention").click()
    page.locator(".vas-words img").first.wait_for()
    check_that_all_can_use_it(page)


def test_the_picture_changes_where_the_mask_is(page, video):
    choose(page, video)
    page.get_by_text("square.mp4: 8 frames").wait_for()
    before = shown_pixels(page)
    page.get_by_label("Who are you looking for?").fill(SENTENCE)
    button(page, "Find").click()
    with page.expect_download() as download:
        page.get_by_text("Download the masks").click()
    turn_to_frames(page)
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
    # all is dimmed, and then what is marked is tinted
    change = np.abs(after - before / 2).mean(axis=2)
    assert change[inside].mean() > 20
    assert change[outside].mean() < 2

    assert SENTENCE in page.locator(".vas-legend").inner_text()


def test_the_page_says_what_the_model_is_and_suggests_what_suits_it(page):
    head = page.locator("#vas-head").inner_text()
    assert "(CSTM): its data is unknown; 7 words." in head
    box = page.get_by_label("Who are you looking for?")
    suggested = box.get_attribute("placeholder")
    page.locator("#vas-samples button").first.click()
    page.get_by_text("frame 9 of 16").wait_for()
    assert suggested == box.input_value().splitlines()[0]
    assert "drawn sample" in page.locator("#vas-samples").inner_text()


def test_the_result_is_told_and_starts_playing(page, video):
    choose(page, video)
    page.get_by_text("square.mp4: 8 frames").wait_for()
    page.get_by_label("Who are you looking for?").fill(SENTENCE)
    button(page, "Find").click()
    page.wait_for_function(
        "() => document.querySelector('video')?.currentTime > 0.1"
    )
    assert page.locator("video").evaluate("(video) => video.videoWidth") >= 320
    told = page.locator("#vas-status [aria-live=polite]").inner_text()
    assert told.startswith("8 frames in ")


def test_frames_words_and_two_colours_of_a_sample(page):
    page.locator("#vas-samples button").first.click()
    page.get_by_text("frame 9 of 16").wait_for()
    box = page.get_by_label("Who are you looking for?")
    assert len(box.input_value().splitlines()) == 2
    button(page, "Find").click()
    turn_to_frames(page)
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
    button(page, "Show word attention").click()
    page.locator(".vas-words img").first.wait_for()
    words = page.locator(".vas-words figcaption").all_inner_texts()
    first = box.input_value().splitlines()[0]
    assert words == first.replace(":", " :").split()


def test_mistakes_are_told_on_the_page(page, tmp_path):
    alert = page.locator("#vas-status [role=alert]")
    bad = tmp_path / "holiday.mp4"
    bad.write_text("no video")
    choose(page, bad)
    alert.get_by_text("holiday.mp4 holds no video").wait_for()
    bad.write_bytes(bytes(2**20 + 1))
    choose(page, bad)
    alert.get_by_text("holiday.mp4 is larger than 1 MB").wait_for()
    button(page, "Find").click()
    alert.get_by_text("Choose a video or a sample first").wait_for()
    page.locator("#vas-samples button").first.click()
    page.get_by_text("frame 9 of 16").wait_for()
    page.get_by_label("Who are you looking for?").fill(" ")
    button(page, "Find").click()
    alert.get_by_text("Type a sentence").wait_for()
    assert page.get_by_text("Download the masks").count() == 0


def test_work_is_stopped_and_begun_again(page, long_video):
    choose(page, long_video)
    page.get_by_text("frame 150 of 299").wait_for()
    page.get_by_label("Who are you looking for?").fill("a\nb\nc\nd\ne\nf")
    button(page, "Find").click()
    page.get_by_role("progressbar", name="Frames").wait_for()
    button(page, "Stop").click()
    page.get_by_text("Stopped.").wait_for()
    number = page.locator("#vas-slider input[type=number]").input_value()
    assert int(number) != 150  # it followed the frames
    assert page.get_by_text(f"frame {number} of 299").is_visible()
    page.get_by_label("Who are you looking for?").fill(SENTENCE)
    page.get_by_label("10th").check()
    button(page, "Find").click()
    page.get_by_text("30 frames in ").wait_for()


def test_all_is_done_with_the_keyboard(page):
    def press(key, shown):
        """Presses a key until something of that label has the focus."""
        for _ in range(20):
            page.keyboard.press(key)
            if shown in page.evaluate(FOCUSED):
                return
        raise AssertionError(f"{shown} cannot be reached")

    press("Tab", "Drop a video here")
    press("Tab", "sample 2: ")
    page.keyboard.press("Enter")
    page.get_by_text("frame 9 of 16").wait_for()
    press("Tab", "Who are you looking for?")
    page.keyboard.press("Control+a")
    page.keyboard.type("the bright squirrel")
    page.get_by_text("It does not know: squirrel.").wait_for()
    press("Tab", "frame")
    press("ArrowRight", "5th")
    group = page.get_by_role("radiogroup", name="Look at every")
    assert group.get_by_role("radio", checked=True).count() == 1
    press("Tab", "Find")
    page.keyboard.press("Enter")
    page.get_by_text("4 frames in ").wait_for()
    press("Tab", "Video")
    press("Shift+Tab", "Frames")
    page.keyboard.press("Enter")
    press("Tab", "range slider for Frame")
    page.keyboard.press("ArrowRight")
    page.get_by_text("frame 10 of 16").wait_for()


def test_closing_the_tab_removes_its_files(page, server, video):
    before = set(server.files())
    choose(page, video)
    page.get_by_text("square.mp4: 8 frames").wait_for()
    own = set(server.files()) - before
    assert own
    page.goto("about:blank")
    wait_for(lambda: not own & set(server.files()))
