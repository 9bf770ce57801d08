"""Pictures and videos are checked by what can be read back from them."""

import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest

from keras_vas.pictures import captions, overlay, panels


def frame(height=60, width=80, value=100):
    return np.full((height, width, 3), value, np.uint8)


def square(height=60, width=80):
    mask = np.zeros((height, width), bool)
    mask[20:40, 30:60] = True
    return mask


def grown(mask, pixels):
    size = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size))) > 0


def test_a_mask_is_tinted_and_what_is_far_from_it_dimmed():
    image, mask = frame(), square()
    drawn = overlay.draw(image, [mask], [(200, 0, 50)])
    inside, outside = ~grown(~mask, 5), ~grown(mask, 5)
    assert inside.sum() > 100
    assert outside.sum() > 100
    assert np.all(drawn[inside] == np.round([135, 65, 82.5]))
    assert np.all(drawn[outside] == 50)
    assert np.all(image == 100)


def test_colours_pale_where_no_mask_is():
    image = np.full((60, 80, 3), (200, 40, 0), np.uint8)
    drawn = overlay.draw(image, [np.zeros((60, 80))], [(0, 0, 0)])
    grey = 0.299 * 200 + 0.587 * 40
    expected = 0.25 * np.array([200, 40, 0]) + 0.25 * grey
    assert np.abs(drawn - expected).max() <= 1
    assert np.array_equal(overlay.draw(image, [], []), image)


def test_the_outline_is_of_the_colour_and_black_beside_it():
    mask = square(480, 640)
    mask[160:320, 240:480] = True
    drawn = overlay.draw(frame(480, 640, 250), [mask], [(200, 0, 50)])
    across = drawn[240, 200:260].astype(int)
    assert np.abs(across - [200, 0, 50]).max(-1).min() <= 10
    assert across.max(-1).min() <= 80
    assert across[0].min() > 100


def test_two_masks_on_one_actor_are_both_seen():
    first, second = (200, 0, 50), (0, 200, 250)
    mask = square(480, 640)
    mask[80:400, 120:520] = True
    drawn = overlay.draw(frame(480, 640), [mask, mask], [first, second])
    for colour in (first, second):
        tint = np.round(65 + 0.35 * np.array(colour))
        share = (np.abs(drawn - tint).max(-1) <= 1)[mask].mean()
        assert 0.2 < share < 0.5
        outline = np.abs(drawn - np.array(colour)).max(-1) <= 10
        assert outline.sum() > 1000


def test_masks_that_do_not_overlap_have_no_stripes():
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:30, 10:30] = masks[1, 40:55, 50:75] = True
    palette = [(200, 0, 50), (0, 200, 250)]
    drawn = overlay.draw(frame(), masks, palette)
    for mask, colour in zip(masks, palette, strict=True):
        alone = overlay.draw(frame(), [mask], [colour])
        assert np.array_equal(drawn[mask], alone[mask])


def test_the_first_colour_is_none_of_the_scenes():
    grass = np.full((60, 80, 3), (0, 190, 140), np.uint8)
    fire = np.full((60, 80, 3), (230, 120, 10), np.uint8)
    found = {
        tuple(scene[0, 0]): overlay.palette_for(scene, 9)
        for scene in (grass, fire)
    }
    for colour, palette in found.items():
        distances = [np.abs(np.subtract(colour, x)).sum() for x in palette]
        assert distances[0] > 150
        assert min(distances) == min(distances[4:7])
        assert len(set(palette)) == 7
        assert palette[:2] == palette[7:]


def test_a_drawing_takes_one_size_only():
    with pytest.raises(ValueError, match=r"Received: .*\(60, 80, 3\)"):
        overlay.draw(frame(), [square(80, 60)], [(0, 0, 0)])
    drawn = overlay.draw(frame(), [square()], [(0, 0, 0)], (30, 40))
    assert drawn.shape == (30, 40, 3)


def test_caption_draws_longer_texts_higher_but_no_higher_than_allowed():
    heights = [
        captions.caption("jumping dog " * n, 200, lines=3).shape[0]
        for n in (1, 3, 100)
    ]
    assert heights[0] < heights[1] < heights[2]
    assert captions.caption("x", 200, lines=3, fixed_height=True).shape == (
        heights[2], 200, 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a man jumps " * 40,
        "x" * 5000,
        "мужчина прыгает " * 20,
        "一个穿白衣服的人在跑" * 20,
        "الرجل يقفز",
        "हिंदी 🐕 \ud800",
        "tab\t and\n line",
    ],
)
def test_caption_copes_with_length_and_script(text):
    strip = captions.caption(text, 160)
    assert strip.shape[1:] == (160, 3)
    assert 0.01 < np.mean(strip < 128) < 0.4
    # nothing runs into the right margin
    assert np.all(strip[:, -2:] == 255)


def test_caption_of_nothing_is_an_empty_line():
    for text in ("", " \n "):
        strip = captions.caption(text, 50)
        assert strip.shape[0] > 10
        assert np.all(strip == 255)


def test_captions_of_other_scripts_are_drawn_and_not_replaced():
    drawn = [
        captions.caption(text, 200)
        for text in ("????", "бежит"[:4], "跑走犬人", "ñáêü")
    ]
    for a in range(len(drawn)):
        for b in range(a):
            assert not np.array_equal(drawn[a], drawn[b])


def test_sample_picture_shows_truth_and_prediction():
    picture = panels.sample_picture(
        frame(), square(), np.roll(square(), 15, 1), "a dog", width=80
    )
    assert picture.shape[1] == 3 * 80 + 2 * 4
    assert picture[30, 45].tolist() == [100] * 3
    truth, prediction = picture[30, 84 + 37], picture[30, 168 + 60]
    assert np.abs(truth - (65 + 0.35 * np.array(overlay.TRUTH))).max() <= 1
    expected = 65 + 0.35 * np.array(overlay.PREDICTION)
    assert np.abs(prediction - expected).max() <= 1
    assert picture[30, 168 + 37].tolist() == [50] * 3


def sample(height=60, width=80, text="a dog"):
    frames = np.stack([frame(height, width, 10 * i) for i in range(8)])
    mask = square(height, width)
    return {
        "frames": frames,
        "target": 4,
        "truth": mask,
        "prediction": mask,
        "text": text,
    }


def test_samples_panel_has_a_row_a_sample_whatever_their_sizes():
    one = panels.samples_panel([sample()], width=80)
    two = panels.samples_panel(
        [sample(), sample(120, 70), sample(64, 200, "long " * 99)], width=80
    )
    assert one.shape[1] == two.shape[1] == 4 * 80 + 3 * 4
    assert two.shape[0] > 2 * one.shape[0]
    target = one[-60:-30, 84 + 2 : 84 + 30]
    assert np.mean(target == 40) > 0.3


def test_samples_panel_needs_a_sample():
    with pytest.raises(ValueError, match="Received"):
        panels.samples_panel([])


def test_png_is_read_back_in_the_right_colours(tmp_path):
    image = overlay.draw(frame(), [square()], [(250, 20, 30)])
    overlay.write_png(tmp_path / "new" / "a.png", image)
    read = cv2.imread(str(tmp_path / "new" / "a.png"))
    assert np.array_equal(read[..., ::-1], image)


def read_video(path):
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        more, image = video.read()
        if not more:
            return frames, video.get(cv2.CAP_PROP_FPS)
        frames.append(image[..., ::-1])


def test_overlay_video_is_read_back(tmp_path):
    path = tmp_path / "overlay.mp4"
    masks = [np.roll(square(61, 81), i, 1) for i in range(5)]
    panels.write_overlay_video(
        path, (frame(61, 81) for _ in masks), iter(masks), "a dog", fps=5
    )
    frames, fps = read_video(path)
    assert len(frames) == 5
    assert fps == pytest.approx(5)
    assert frames[0].shape[0] > 4 * 61
    assert frames[0].shape[1] == 4 * 81
    inside = frames[2][4 * 25 : 4 * 35, 4 * 35 : 4 * 55].mean(axis=(0, 1))
    assert inside.argmax() == 0
    expected = 65 + 0.35 * np.array(overlay.PREDICTION)
    assert np.abs(inside - expected).max() < 12
    assert frames[2][20:60, 20:280].mean() == pytest.approx(50, abs=5)
    assert [p.name for p in tmp_path.iterdir()] == ["overlay.mp4"]


def test_overlay_video_without_captions_and_with_one_a_frame(tmp_path):
    frames, masks = [frame()] * 3, [square()] * 3
    panels.write_overlay_video(tmp_path / "a.mp4", frames, masks)
    panels.write_overlay_video(
        tmp_path / "b.mp4", frames, masks, ["one", "two " * 30, "three"]
    )
    plain, captioned = (read_video(tmp_path / n)[0] for n in ("a.mp4", "b.mp4"))
    assert plain[0].shape == (240, 320, 3)
    assert len(captioned) == 3
    assert captioned[0].shape[0] > 240


@pytest.mark.parametrize(
    ("frames", "masks", "texts", "message"),
    [
        ([], [], None, "needs a frame"),
        ([frame()] * 2, [square()], None, "shorter"),
        ([frame()] * 2, [square()] * 2, ["one"], "shorter"),
        (
            [frame(), frame(80, 60)],
            [square(), square(80, 60)],
            None,
            "must have one size",
        ),
    ],
)
def test_overlay_video_of_odd_arguments_leaves_no_file(
    tmp_path, frames, masks, texts, message
):
    with pytest.raises(ValueError, match=message):
        panels.write_overlay_video(tmp_path / "a.mp4", frames, masks, texts)
    assert list(tmp_path.iterdir()) == []


def test_overlay_video_notices_a_full_disk(tmp_path, repository):
    program = f"""
import numpy as np
from keras_vas.pictures import panels
frames = np.random.default_rng(0).integers(0, 255, (12, 96, 96, 3), np.uint8)
path = {str(tmp_path / "a.mp4")!r}
panels.write_overlay_video(path, frames, [frames[0, ..., 0]] * 12)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (5000, 5000)
        ),
    )
    assert finished.returncode != 0
    assert "UserError: cannot write" in finished.stderr
    assert list(tmp_path.iterdir()) == []
