"""The codec of a written video, and the sound that it takes from another."""

import av
import numpy as np
import pytest

from keras_vas.video.writer import VideoFile, add_sound

RATE = 16000


def write_pictures(path, seconds=2.0, fps=10):
    video = VideoFile(path, fps)
    for i in range(round(seconds * fps)):
        video.add(np.full((64, 320, 3), 10 * i, np.uint8), i / fps)
    video.close()
    return path


def write_with_sound(path, codec, seconds=3.0):
    """A video whose sound is silent in the first second and then is not."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("mpeg4", 10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        sound = file.add_stream(codec, RATE)
        sound.layout = "mono"
        for i in range(round(10 * seconds)):
            image = np.full((64, 64, 3), i, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(pictures.encode())
        times = np.arange(round(RATE * seconds)) / RATE
        wave = np.where(times < 1, 0, 0.5 * np.sin(2 * np.pi * 440 * times))
        frame = av.AudioFrame.from_ndarray(
            np.round(32767 * wave).astype(np.int16)[None], "s16", "mono"
        )
        frame.rate = RATE
        file.mux(sound.encode(frame))
        file.mux(sound.encode())
    return path


def loudness(path):
    """Root mean square of the sound in each half second."""
    with av.open(str(path)) as file:
        parts = [
            np.atleast_2d(frame.to_ndarray())[0].astype(float)
            / (1 if frame.format.name.startswith("flt") else 32767)
            for frame in file.decode(audio=0)
        ]
        rate = file.streams.audio[0].rate
    samples = np.concatenate(parts)
    count = len(samples) // (rate // 2)
    halves = samples[: count * (rate // 2)].reshape(count, -1)
    return np.sqrt((halves**2).mean(1))


def test_a_video_is_h264_in_420_with_its_index_first(tmp_path):
    path = write_pictures(tmp_path / "a.mp4")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert file.streams.video[0].frames == 20
        assert float(file.streams.video[0].average_rate) == pytest.approx(10)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [("b.mp4", "aac", "aac"), ("b.mkv", "pcm_s16le", "aac"),
     ("b.mkv", "libmp3lame", "mp3")],
)  # fmt: skip
def test_sound_is_taken_as_long_as_the_pictures_last(
    tmp_path, name, codec, kept
):
    path = write_pictures(tmp_path / "a.mp4")
    source = write_with_sound(tmp_path / name, codec)
    assert add_sound(path, source)
    heard = loudness(path)
    assert len(heard) in (4, 5)
    assert heard[0] < 0.02
    # decoded without regard to the encoder's delay of 0.13 s at most
    assert heard[2] > 0.8 * 0.5 / np.sqrt(2)
    np.testing.assert_allclose(heard[3], 0.5 / np.sqrt(2), rtol=0.1)
    with av.open(str(path)) as file:
        assert file.streams.audio[0].codec.canonical_name == kept
        assert sum(1 for _ in file.decode(video=0)) == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", name]


def test_without_sound_a_video_stays_as_it_is(tmp_path):
    path = write_pictures(tmp_path / "a.mp4")
    before = path.read_bytes()
    list_ = tmp_path / "list.m3u8"
    sound = write_with_sound(tmp_path / "b.mp4", "aac")
    list_.write_text(f"#EXTM3U\n#EXTINF:3,\n{sound}\n#EXT-X-ENDLIST\n")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    silent = write_pictures(tmp_path / "silent.mp4")
    for source in (list_, text, silent):
        assert not add_sound(path, source)
        assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.sound.*"))
