"""Videos and pictures that lead elsewhere, are too large, or lie."""

import contextlib
import os
import threading
import zlib

import cv2
import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.video import image_file, reader
from keras_vas.video.capture import open_capture
from keras_vas.video.reader import open_video
from keras_vas.video.writer import VideoFile


def write(path, frames=5, size=(32, 48), codec="mp4v", fps=10):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*codec), fps, size[::-1]
    )
    for i in range(frames):
        writer.write(np.full((*size, 3), 20 * i, np.uint8))
    writer.release()
    return path


def lists(folder):
    """Play lists of every kind that name a video beside them."""
    secret = write(folder / "secret.ts")
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.0,\n"
    texts = {
        "relative.m3u8": f"{head}secret.ts\n#EXT-X-ENDLIST\n",
        "absolute.m3u8": f"{head}{secret}\n#EXT-X-ENDLIST\n",
        "address.m3u8": f"{head}file://{secret}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile secret.ts\n",
        "list.mp4": "ffconcat version 1.0\nfile secret.ts\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def test_play_lists_are_followed_on_demand_alone(tmp_path):
    followed = 0
    for path in lists(tmp_path):
        with pytest.raises(UserError, match="holds no video"):
            open_video(path)
        with contextlib.suppress(UserError):
            frames = list(open_video(path, allow_playlists=True))
            followed += len(frames) == 5
    assert followed >= 4
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ


def test_options_that_a_user_has_set_stay(tmp_path, monkeypatch):
    options = "threads;1"
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", options)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    video = write(tmp_path / "a.mp4")
    assert not open_capture(tmp_path / "list.mp4").isOpened()
    assert open_capture(video).isOpened()
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == options


def test_threads_open_videos_in_confinement(tmp_path):
    path = lists(tmp_path)[0]
    opened = []

    def work():
        for _ in range(20):
            opened.append(open_capture(path).isOpened())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [False] * 80


def test_a_single_picture_is_a_video_of_one_frame(tmp_path):
    image = np.full((20, 30, 3), (10, 120, 240), np.uint8)
    for suffix in ("jpg", "JPEG", "png", "bmp", "webp", "tif"):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(
            cv2.imencode(f".{suffix.lower()}", image[..., ::-1])[1].tobytes()
        )
        (frame,) = open_video(path)
        np.testing.assert_allclose(frame.image, image, atol=9)


def png_of(width, height):
    """A PNG whose header promises more than there is."""
    small = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
    header = b"IHDR" + np.array([width, height], ">u4").tobytes() + small[24:29]
    checksum = np.array(zlib.crc32(header), ">u4").tobytes()
    return small[:12] + header + checksum + small[33:]


def long_chunk():
    """A small PNG whose data says that it has 2 GiB."""
    whole = bytearray(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1])
    whole[33] |= 0x80
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png_of(6_000, 6_000), "more than 33,554,432 pixels"),
        (png_of(2**31 - 1, 2**31 - 1), "more than 33,554,432 pixels"),
        (png_of(0, 5), "is no image that can be read"),
        (b"", "is no image that can be read"),
        (b"\x89PNG\r\n\x1a\n", "is no image that can be read"),
        (b"no image", "is no image that can be read"),
        (long_chunk(), "is no image that can be read"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_pictures_are_not_decoded_before_their_size_is_known(
    tmp_path, monkeypatch, content, words
):
    path = tmp_path / "1.png"
    path.write_bytes(content)
    if "pixels" in words:
        monkeypatch.delattr(cv2, "imdecode")
    for read in (
        lambda: image_file.read_image(path),
        lambda: list(open_video(tmp_path)),
    ):
        with pytest.raises(UserError, match=words) as caught:
            read()
        assert str(path) in str(caught.value)


def test_a_real_bomb_is_refused(tmp_path):
    bomb = np.zeros((8_000, 8_000), np.uint8)
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", bomb)[1].tobytes())
    with pytest.raises(UserError, match="make it smaller"):
        list(open_video(tmp_path))


def test_a_fifo_and_a_folder_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("1.png", "folder.png", "missing.png"):
        with pytest.raises(UserError, match="there is no image file"):
            image_file.read_image(tmp_path / name)


def test_videos_of_huge_frames_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4")
    monkeypatch.setattr(reader, "MAX_PIXELS", 32 * 48 - 1)
    with pytest.raises(UserError, match="frames of 48 x 32 pixels, more than"):
        open_video(path)


@pytest.mark.parametrize("number", ["9" * 20, 10**20, "999999", "7" * 5000])
def test_there_are_not_so_many_cameras(number):
    with pytest.raises(UserError, match="there is no camera"):
        open_video(number)


def test_names_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    path.write_bytes(write(tmp_path / "a.mp4").read_bytes())
    with pytest.raises(UserError, match="must be UTF-8 text; rename it"):
        open_video(path)
    with pytest.raises(UserError, match="must be UTF-8 text; rename it"):
        VideoFile(path, 10)


def test_broken_time_stamps_do_not_make_a_video_without_end(
    tmp_path, monkeypatch
):
    path = write(tmp_path / "a.mp4")
    real = reader._captured

    def captured(capture):
        for i, (image, stamp) in enumerate(real(capture)):
            yield image, 1e9 if i == 2 else stamp

    monkeypatch.setattr(reader, "_captured", captured)
    times = [frame.time_seconds for frame in open_video(path)]
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)


@pytest.mark.parametrize("fps", [1e-9, 0.001, 0.05, 300])
def test_overlays_of_every_rate_are_written(tmp_path, fps):
    writer = VideoFile(tmp_path / "o.mp4", fps)
    for i in range(3):
        writer.add(np.full((40, 320, 3), 80 * i, np.uint8), i * 10.0)
    writer.close()
    frames = list(open_video(tmp_path / "o.mp4"))
    assert len(frames) >= 3
    assert frames[-1].image.mean() == pytest.approx(160, abs=5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((240, 320), (240, 320)),
        ((31, 45), (248, 360)),
        ((1080, 1920), (720, 1280)),
        ((4000, 16), (4096, 16)),
        ((100_000, 10), (4096, 1)),
        ((16, 4000), (5, 1280)),
        ((1, 100_000), (1, 1280)),
        ((4320, 7680), (720, 1280)),
    ],
)
def test_the_size_that_is_written(size, expected):
    assert VideoFile.size_for(*size) == expected


def test_a_size_that_no_encoder_takes_is_named(tmp_path):
    writer = VideoFile(tmp_path / "o.mp4", 10)
    with pytest.raises(UserError, match=r"o\.mp4, 320 x 80000 pixels at 10"):
        writer.add(np.zeros((80_000, 320, 3), np.uint8), 0)
