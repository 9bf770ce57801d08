"""Videos, sentences, spans, rows and the report of an archive, without Ray."""

import dataclasses
import itertools
import json
import shutil

import drawn_videos
import numpy as np
import pytest
from pycocotools import mask as coco

from keras_vas.archive import sources
from keras_vas.errors import UserError
from keras_vas.video import parts
from keras_vas.video.reader import open_video

pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")

import archive_model  # noqa: E402

from keras_vas.archive import engine, report, table, worker  # noqa: E402
from keras_vas.archive.folder import Folder  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "some" / "a video.mp4"
    return drawn_videos.write(path, 50)


@pytest.fixture
def model(tmp_path):
    return archive_model.make(tmp_path / "model")


def archived(video, model, output, **choice):
    """Plans and segments a video here; returns the folder and its rows."""
    settings = archive_model.settings(model, **choice)
    (source,), _ = sources.list_videos(video)
    folder = Folder(output)
    row = {"key": source.key, "name": source.name, "path": source.path}
    with folder.opened(settings):
        segment = worker.Worker(settings, folder, archive_model.load)
        done = [segment(x) for x in worker.plan(row, settings.choice)]
        assert all(x["reason"] == x["refusal"] == "" for x in done)
        folder.finish(source.key, len(done), settings.choice)
        folder.end({})
    (path,) = output.glob("*.parquet")
    assert path == folder.result(source.key)
    return path, pq.read_table(path).to_pylist()


def test_sentences_of_a_file(tmp_path):
    path = tmp_path / "s.txt"
    path.write_bytes("\ufeffa dog\r\n\n  ein Fuß \na dog\n".encode())
    assert sources.read_sentences(path) == ("a dog", "ein Fuß")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"\n \n", "holds no sentence"),
        (b"a dog\n...\n", "line 2: '...' holds no word"),
        (b"a dog\nein Fu\xdf\n", r"line 2: b'ein Fu\xdf' is no UTF-8 text"),
        ("a dog".encode("utf-16"), "is no UTF-8 text; save it as UTF-8"),
    ],
)
def test_files_of_no_sentences(content, said, tmp_path):
    if content is not None:
        (tmp_path / "s.txt").write_bytes(content)
    with pytest.raises(UserError) as raised:
        sources.read_sentences(tmp_path / "s.txt")
    assert said in str(raised.value)


def test_videos_of_a_folder_and_of_a_list(tmp_path):
    for name in ("b.MP4", "c/x.webm", "c/y/1.png", "c/y/2.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found, refused = sources.list_videos(tmp_path)
    assert [x.name for x in found] == ["b.MP4", "c/x.webm", "c/y"]
    assert not refused
    assert len({x.key for x in found}) == 3
    (tmp_path / "notes.txt").write_text(f"c/y\ngone.mp4\n{tmp_path}/b.MP4\n")
    found, refused = sources.list_videos(tmp_path / "notes.txt")
    assert {x.path for x in found} == {
        str(tmp_path / "c/y"),
        str(tmp_path / "b.MP4"),
    }
    assert refused == {"gone.mp4": f"there is no video {tmp_path}/gone.mp4"}
    (tmp_path / "c" / "empty").mkdir()
    with pytest.raises(UserError, match="holds no video"):
        sources.list_videos(tmp_path / "c" / "empty")


def test_parts_are_what_the_whole_holds(video, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(33):
        image = np.full((8, 8, 3), 5 * i, np.uint8)
        parts.cv2.imwrite(str(folder / f"{i}.png"), image)
    for path, length, count in ((video, 20, 3), (folder, 15, 3)):
        whole = list(open_video(path))
        found = parts.split(path, length, 8, 6)
        assert len(found) == count
        assert [x.start for x in found] == [1, length + 1, 2 * length + 1]
        assert found[-1].stop == len(whole) + 1
        for part in found:
            read = list(parts.open_part(path, part))
            first = max(1, part.start - 8)
            assert part.first == first
            last = min(part.stop + 5, len(whole))
            assert len(read) == last - first + 1
            for frame, other in zip(read, whole[first - 1 :], strict=False):
                assert frame.time_seconds == other.time_seconds
                np.testing.assert_array_equal(frame.image, other.image)
        assert parts.split(path, 60, 8, 6) == [parts.WHOLE]


def test_a_part_of_another_video_is_refused(video, tmp_path):
    part = parts.split(video, 20, 8, 6)[2]
    short = drawn_videos.write(tmp_path / "short.mp4", 10)
    with pytest.raises(UserError, match=r"has no frame at 3\.2\d* s any more"):
        list(parts.open_part(short, part))


@pytest.mark.parametrize("every", [1, 3])
def test_spans_are_what_the_whole_gives(video, model, tmp_path, every):
    _, whole = archived(video, model, tmp_path / "one", every=every)
    path, split = archived(video, model, tmp_path / "out", every=every, span=20)
    assert table.about(path)["spans"] == 3
    assert len(table.about(path)["seconds"]) == 3
    assert [x["span"] for x in split][:: len(split) - 1] == [1, 3]
    frames = list(open_video(video))[::every]
    assert len(split) == 2 * len(frames)
    for row, other, (frame, sentence) in zip(
        split,
        whole,
        itertools.product(frames, archive_model.SENTENCES),
        strict=True,
    ):
        assert row["sentence"] == sentence
        assert (row["video"], row["frame"]) == ("a video.mp4", frame.number)
        assert row["time"] == pytest.approx(frame.time_seconds, abs=1e-6)
        bright = frame.image[..., 0] / np.float32(255)
        mask = (bright if "bright" in sentence else 1 - bright) > 0.5
        np.testing.assert_array_equal(coco.decode(row["rle"]), mask)
        assert row["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        assert not mask.any() or row["box"] == [
            xs.min(),
            ys.min(),
            np.ptp(xs) + 1,
            np.ptp(ys) + 1,
        ]
        assert row["score"] == other["score"]
    best = [max(whole, key=lambda x: x["score"] * (x["sentence"] == s))
            for s in archive_model.SENTENCES]  # fmt: skip
    shown = [x for x in whole if x["thumbnail"]]
    assert sorted(x["score"] for x in shown) == sorted(x["score"] for x in best)
    assert shown[0]["thumbnail"].startswith(b"\xff\xd8")


def test_find_keeps_the_best_moments(video, model, tmp_path):
    _, rows = archived(video, model, tmp_path / "all")
    choice = {"find": True, "moments": 2, "apart": 1.0}
    _, found = archived(video, model, tmp_path / "one", **choice)
    _, split = archived(video, model, tmp_path / "out", span=20, **choice)
    for sentence in archive_model.SENTENCES:
        scored = [x for x in rows if x["sentence"] == sentence]
        best = max(x["score"] for x in scored)
        for some in (found, split):
            kept = [x for x in some if x["sentence"] == sentence]
            assert len(kept) == 2
            assert max(x["score"] for x in kept) == best
            assert abs(kept[0]["time"] - kept[1]["time"]) >= 1
            assert all(x["thumbnail"] for x in kept)
            for row in kept:
                same = [x for x in scored if x["frame"] == row["frame"]]
                assert row["rle"] == same[0]["rle"]


def test_moments_against_all_pairs():
    rng = np.random.default_rng(0)
    scores, times = rng.permutation(200), np.arange(200) / 10
    moments = table.Moments(3, 2.0)
    for score, time in zip(scores, times, strict=True):
        if moments.takes(score, time):
            moments.kept.append(table.Moment(score, time, {}))
    kept = moments.kept
    assert len(kept) == 3
    assert max(x.score for x in kept) == scores.max()
    assert all(
        abs(a.time - b.time) >= 2 for a, b in itertools.combinations(kept, 2)
    )


def test_damaged_videos_give_a_reason(video, model, tmp_path):
    settings = archive_model.settings(model)
    folder = Folder(tmp_path / "out")
    cut = tmp_path / "cut.mp4"
    content = video.read_bytes()
    cut.write_bytes(
        content[:400] + bytes(len(content) - 9000) + content[-8600:]
    )
    segment = worker.Worker(settings, folder, archive_model.load)
    said = []
    for path in (cut, tmp_path / "gone.mp4"):
        row = {"key": "k", "name": path.name, "path": str(path)}
        (planned,) = worker.plan(row, settings.choice)
        said.append(segment(planned)["reason"])
    assert "can be read" in said[0]
    assert "there is no video" in said[1]
    assert not any("\n" in x for x in said)
    assert not list(tmp_path.glob("out/**/*.parquet"))


def test_workers_of_another_version_or_model_refuse(video, model, tmp_path):
    settings = archive_model.settings(model)
    row = {"key": "k", "name": "x", "path": str(video)}
    (planned,) = worker.plan(row, settings.choice)
    for change, said in (
        ({"version": "0.0.1"}, "and this program is 0.0.1; install the same"),
        ({"fingerprint": "0" * 64}, "finds another model at"),
    ):
        other = dataclasses.replace(settings, **change)
        folder = Folder(tmp_path / "out")
        segment = worker.Worker(other, folder, archive_model.load)
        done = segment(planned)
        assert said in done["refusal"]
        assert not folder.part("k", 1, 1).exists()
    assert "calls" not in {x.name for x in model.iterdir()}


def test_folders_of_something_else(model, tmp_path):
    settings = archive_model.settings(model)
    folder = Folder(tmp_path / "out")
    with folder.opened(settings), pytest.raises(UserError, match="another pro"):
        with folder.opened(settings):
            pass
    other = archive_model.settings(model, every=2)
    with pytest.raises(UserError, match=r"other choices \(--every\); give the"):
        with folder.opened(other):
            pass
    with pytest.raises(UserError, match=r"something else \(model\)"):
        Folder(tmp_path).check()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://127.0.0.1:1", "the cluster --address=ray://127.0.0.1:1 does"),
        ("127.0.0.1:1", "does not answer"),
        ("auto", "does not answer"),
    ],
)
def test_clusters_that_do_not_answer(address, said, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=said) as raised:
        engine.connect(address)
    assert "\n" not in str(raised.value)


def test_the_report(video, model, tmp_path):
    out = tmp_path / "out"
    path, rows = archived(video, model, out, find=True)
    assert report.write(out, most=3) == (3, len(rows))
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    best = max(rows, key=lambda x: x["score"])
    assert f"{video.as_uri()}#t={best['time']:.2f}" in page
    assert "the best 3 of" in page
    assert "http" not in page.replace("http-equiv", "")
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is no result of an archive"):
        report.write(out)
    path.unlink()
    with pytest.raises(UserError, match="holds no results"):
        report.write(out)
    assert json.loads((out / "_archive.json").read_text())["--find"] is True


def test_the_report_in_a_browser(video, model, tmp_path):
    if not CHROMIUM:
        pytest.skip("no browser: install chromium, such as Debian's package")
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    out = tmp_path / "out"
    _, rows = archived(video, model, out, span=20)
    report.write(out)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page()
        said = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((out / "report.html").as_uri())

        def column(number):
            cells = page.locator(f"tbody tr td:nth-child({number})")
            return [cell.get_attribute("data-value") for cell in cells.all()]

        shown = [x["score"] for x in rows if x["thumbnail"]]
        assert len(shown) == 6
        best = sorted(shown, reverse=True)
        assert list(map(float, column(4))) == best
        page.get_by_role("button", name="Score").click()
        assert list(map(float, column(4))) == best[::-1]
        page.get_by_role("button", name="Sentence").click()
        assert column(3) == sorted(column(3))
        heading = page.locator("th", has_text="Sentence")
        assert heading.get_attribute("aria-sort") == "ascending"
        image = page.locator("img").first
        image.scroll_into_view_if_needed()
        assert (
            image.evaluate("x => x.decode().then(() => x.naturalWidth)") == 80
        )
        assert axe.Axe().run(page).violations_count == 0
        assert not said
        browser.close()
