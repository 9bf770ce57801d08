"""Frames from files, folders and arrays; clips; run lengths; result files."""

import contextlib
import json
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from keras_vas.data.records.schema import clip_frame_numbers
from keras_vas.errors import UserError
from keras_vas.pictures.contact_sheet import ContactSheet
from keras_vas.pictures.overlay import draw, palette_for
from keras_vas.prediction import windows as clip_windows
from keras_vas.prediction.result_folder import ResultFolder
from keras_vas.video.reader import open_video
from keras_vas.video.writer import VideoFile


def write_mp4(path, images, fps=10):
    size = images[0].shape[1::-1]
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, size
    )
    for image in images:
        writer.write(image[..., ::-1])
    writer.release()
    return path


def grey(number, value_step=20, size=(32, 48)):
    return [
        np.full((*size, 3), 10 + value_step * i, np.uint8)
        for i in range(number)
    ]


def levels(frames):
    return [round(float(frame.image.mean())) for frame in frames]


def test_mp4_frames_times_and_rate(tmp_path):
    video = open_video(write_mp4(tmp_path / "a b:c.mp4", grey(6)))
    assert (video.fps, video.expected_frames) == (10, 6)
    for _ in range(2):
        frames = list(video)
        assert [f.number for f in frames] == [1, 2, 3, 4, 5, 6]
        times = [f.time_seconds for f in frames]
        np.testing.assert_allclose(times, np.arange(6) / 10, atol=1e-3)
        np.testing.assert_allclose(levels(frames), 10 + 20 * np.arange(6), 3)


def test_colours_come_as_rgb(tmp_path):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "1.png"), red[..., ::-1])
    for source in (write_mp4(tmp_path / "a.mp4", [red]), tmp_path / "frames"):
        (frame,) = open_video(source)
        assert frame.image[..., 0].min() > 200
        assert frame.image[..., 1:].max() < 60


def test_a_gif_with_a_variable_frame_rate_keeps_its_times(tmp_path):
    pictures = [Image.fromarray(x) for x in grey(4, 60, (31, 45))]
    pictures[0].save(
        tmp_path / "a.gif",
        save_all=True,
        append_images=pictures[1:],
        duration=[100, 300, 50, 100],
    )
    frames = list(open_video(tmp_path / "a.gif"))
    times = [f.time_seconds for f in frames]
    np.testing.assert_allclose(times, [0, 0.1, 0.4, 0.45], atol=1e-6)
    assert frames[0].image.shape == (31, 45, 3)


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 2, 1):
        image = np.full((3, 5, 4), number, np.uint8)
        name = str(tmp_path / f"f{number}.png")
        cv2.imwrite(name, image if number == 2 else image[..., 0])
    (tmp_path / "notes.txt").write_text("no image")
    frames = list(open_video(tmp_path))
    assert levels(frames) == [1, 2, 10]
    assert frames[0].image.shape == (3, 5, 3)


@pytest.mark.parametrize("shape", [(2, 7, 9), (2, 7, 9, 1), (2, 7, 9, 4)])
def test_arrays_of_grey_and_alpha(shape):
    array = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    frames = list(open_video(array))
    grey_array = array[..., None] if array.ndim == 3 else array
    expected = np.broadcast_to(grey_array[..., :3], (2, 7, 9, 3))
    for frame, image in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def unreadable(folder):
    """Cases of what is no video, and a word of the message about each."""
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    whole = write_mp4(folder / "whole.mp4", grey(5)).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "none").mkdir()
    (folder / "bad").mkdir()
    (folder / "bad" / "1.png").write_bytes(b"\x89PNG")
    (folder / "sizes").mkdir()
    for i in (1, 2):
        cv2.imwrite(
            str(folder / "sizes" / f"{i}.png"), np.zeros((4, 3 + i), np.uint8)
        )
    return {
        folder / "missing.mp4": "there is no video",
        folder / "text.mp4": "no video that can be read",
        folder / "empty.mp4": "no video that can be read",
        folder / "cut.mp4": "no video that can be read",
        folder / "none": "no image",
        folder / "bad": "no image that can be read",
        folder / "sizes": "5 x 4 pixels",
        "77": "no camera 77",
    }


def test_what_is_no_video_is_a_user_error(tmp_path):
    for source, words in unreadable(tmp_path).items():
        with pytest.raises(UserError, match=words):
            list(open_video(source))


def test_audio_only_is_a_user_error(tmp_path):
    """A wave file is what every FFmpeg can read without any picture."""
    header = b"RIFF\x2c\x01\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0"
    header += b"\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x08\x01\0\0"
    (tmp_path / "sound.mp4").write_bytes(header + b"\x80" * 264)
    with pytest.raises(UserError, match="no video that can be read"):
        open_video(tmp_path / "sound.mp4")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.float32),
        [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)],
    ],
)
def test_other_arrays_are_user_errors(array):
    with pytest.raises(UserError):
        open_video(array)


@pytest.mark.parametrize("count", [1, 2, 7, 15, 40])
@pytest.mark.parametrize("every", [1, 3, 20])
def test_windows_are_the_clips_of_the_schema(count, every):
    array = np.arange(count, dtype=np.uint8)[:, None, None] + 1
    seen = []

    def shrink(image):
        seen.append(int(image[0, 0, 0]))
        return image

    targets = range(1, count + 1, every)
    found = list(clip_windows.windows(open_video(array), shrink, every=every))
    assert [w.frame.number for w in found] == list(targets)
    for window, number in zip(found, targets, strict=True):
        numbers = window.clip[:, 0, 0, 0].tolist()
        assert numbers == clip_frame_numbers(number, count)
    assert seen == list(range(1, count + 1))


def test_windows_at_times_are_those_shown_then():
    array = np.arange(50, dtype=np.uint8)[:, None, None] + 1
    read = []

    def windows(times):
        read.clear()
        video = open_video(array)
        shrink = lambda x: read.append(1) or x  # noqa: E731
        found = list(clip_windows.windows(video, shrink, times=times))
        for w in found:
            numbers = w.clip[:, 0, 0, 0].tolist()
            assert numbers == clip_frame_numbers(w.frame.number, 50)
        return [w.frame.number for w in found]

    assert windows([0.41, 0.0, 0.4, 0.79]) == [1, 11, 20]
    assert len(read) == 26  # and nothing behind the last clip
    assert windows([1.96, 1.99]) == [50]
    with pytest.raises(UserError, match=r"nothing at 2\.5 s"):
        windows([1.0, 2.5])
    with pytest.raises(UserError, match="before the video"):
        windows([-1.0])


def test_memory_of_the_windows_is_bounded():
    made = []

    def shrink(image):
        small = image.copy()
        made.append(weakref.ref(small))
        return small

    most = 0
    video = open_video(np.zeros((120, 1, 1, 3), np.uint8))
    for _ in clip_windows.windows(video, shrink):
        most = max(most, sum(small() is not None for small in made))
    assert len(made) == 120
    assert 15 <= most <= 17


def test_overlay_video_keeps_time(tmp_path):
    writer = VideoFile(tmp_path / "o.mp4", 10)
    for seconds, value in ((0, 20), (0.1, 90), (0.4, 160), (0.42, 250)):
        writer.add(np.full((33, 321, 3), value, np.uint8), seconds)
    writer.close()
    got = levels(open_video(tmp_path / "o.mp4"))
    np.testing.assert_allclose(got, [20, 90, 90, 90, 160], atol=4)


def test_contact_sheet_keeps_evenly_spaced_frames():
    sheet = ContactSheet(["a"], [(240, 228, 66)])
    for i in range(100):
        sheet.add(np.full((90, 120, 3), 2 * i, np.uint8), str(i))
    image = sheet.image()
    assert image.shape[1] == 960
    cells = [
        image[90 + 207 * r, 120 + 240 * c, 0]
        for r in range(3)
        for c in range(4)
    ]
    steps = np.diff(np.array(cells, int))
    assert (steps > 0).all()
    assert cells[-1] > 150
    assert steps.max() <= 2 * steps.min()


def test_each_sentence_has_its_colour():
    masks = np.zeros((2, 40, 60), bool)
    masks[0, :16, :16] = masks[1, 20:, 20:] = True
    plain = np.full((40, 60, 3), 100, np.uint8)
    palette = palette_for(plain, 2)
    image = draw(plain, masks, palette)
    pixels = image[6, 6], image[30, 40]
    for pixel, colour in zip(pixels, palette, strict=True):
        assert np.abs(pixel - (65 + 0.35 * np.array(colour))).max() <= 1
    assert (image[5, 50] == 50).all()


def fill(folder, frames, queries=2):
    rng = np.random.default_rng(0)
    for i in range(frames):
        masks = rng.uniform(size=(queries, 30, 41)) < 0.5
        image = np.full((30, 41, 3), 99, np.uint8)
        folder.add(i + 1, i / 25, image, masks, [0.25] * queries)
        yield masks


def from_run_lengths(size, counts):
    """A mask from COCO's text, as its format describes it.

    Base 32, five bits a character from 48 on, the sixth says that more
    follow; from the fourth run on, the difference to the one before the last.
    """
    runs, value, place = [], 0, 0
    for character in counts.encode():
        digit = character - 48
        value |= (digit & 31) << (5 * place)
        place += 1
        if not digit & 32:
            value -= (digit & 16) << (5 * place - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = place = 0
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(size, order="F")


def test_result_folder_has_what_was_found(tmp_path):
    video = open_video(np.zeros((3, 30, 41, 3), np.uint8))
    queries = ["The dog!", "a/b"]
    with ResultFolder(tmp_path / "out", video, queries) as folder:
        masks = list(fill(folder, 3))
    names = {x.name for x in (tmp_path / "out").iterdir()}
    assert names == {"overlay.mp4", "masks", "masks.json", "contact_sheet.png"}
    result = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert result["complete"] is True
    assert [q["name"] for q in result["categories"]] == queries
    for i, image in enumerate(result["images"]):
        assert (image["id"], image["time_seconds"]) == (i + 1, i / 25)
        assert (image["height"], image["width"]) == (30, 41)
    assert len(result["images"]) == 3
    assert len(result["annotations"]) == 6
    for entry in result["annotations"]:
        assert entry["score"] == 0.25
        image = result["images"][entry["image_id"] - 1]
        category = result["categories"][entry["category_id"] - 1]
        expected = masks[image["id"] - 1][category["id"] - 1]
        decoded = from_run_lengths(**entry["segmentation"])
        np.testing.assert_array_equal(decoded, expected)
        folder = tmp_path / "out" / "masks" / category["folder"]
        path = folder / image["file_name"]
        png = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(png, expected * 255)


def test_coco_opens_the_masks(tmp_path):
    video = open_video(np.zeros((3, 30, 41, 3), np.uint8))
    with ResultFolder(tmp_path / "out", video, ["The dog!", "a/b"]) as folder:
        masks = list(fill(folder, 3))
    coco = COCO(tmp_path / "out" / "masks.json")
    assert coco.getImgIds() == [1, 2, 3]
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == [
        "The dog!", "a/b",
    ]  # fmt: skip
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=2, catIds=1))
    assert len(annotations) == 1
    expected = masks[1][0]
    np.testing.assert_array_equal(coco.annToMask(annotations[0]), expected)
    rows, columns = np.nonzero(expected)
    assert annotations[0]["area"] == expected.sum()
    assert annotations[0]["bbox"] == [
        columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1,
    ]  # fmt: skip
    found = coco.loadRes(
        json.loads((tmp_path / "out" / "masks.json").read_text())["annotations"]
    )
    assert len(found.getAnnIds()) == 6


def test_a_result_folder_has_its_video_too(tmp_path):
    video = open_video(np.zeros((3, 30, 41, 3), np.uint8))
    with ResultFolder(tmp_path / "out", video, ["a"]) as folder:
        list(fill(folder, 3, 1))
    assert len(list(open_video(tmp_path / "out" / "overlay.mp4"))) == 3


def test_result_folder_replaces_its_own_and_nothing_else(tmp_path):
    video = open_video(np.zeros((3, 30, 41, 3), np.uint8))
    out = tmp_path / "out"
    with ResultFolder(out, video, ["old"]) as folder:
        list(fill(folder, 3, 1))
    with contextlib.suppress(RuntimeError):
        with ResultFolder(out, video, ["new"]) as folder:
            list(fill(folder, 2, 1))
            raise RuntimeError
    assert "old" in (out / "masks.json").read_text()
    with ResultFolder(out, video, ["new"]) as folder:
        list(fill(folder, 1, 1))
    assert "new" in (out / "masks.json").read_text()
    assert [x.name for x in (out / "masks").iterdir()] == ["1_new"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "masks.json").write_text("{}")
    with pytest.raises(UserError, match="holds something else"):
        ResultFolder(tmp_path / "other", video, ["new"])
    assert (tmp_path / "other" / "masks.json").read_text() == "{}"
