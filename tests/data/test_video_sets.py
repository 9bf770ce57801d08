"""Reading data sets of videos: lists, frames and masks in every layout."""

import json

import cv2
import numpy as np
import pytest
import video_trees
from PIL import Image

from keras_vas.data.video_sets import listed, masks, own
from keras_vas.data.video_sets.video import Sentence
from keras_vas.errors import UserError


def test_ref_davis(tmp_path):
    root = video_trees.write_davis(tmp_path / "davis")
    videos, excluded = listed.read_split(root, "ref_davis17", "valid", tmp_path)
    assert excluded == []
    assert [v.name for v in videos] == ["goat", "parkour"]
    goat = videos[0]
    assert len(goat.sentences) == 8
    assert goat.sentences[4] == Sentence("4", "the dark square", ("2",))
    assert goat.annotated() == list(range(video_trees.FRAMES))
    for index in (0, 5):
        truth = goat.truth(index)
        expected = video_trees.object_masks(index)
        assert set(truth.masks) == ({"1"} if index < 2 else {"1", "2"})
        meant = truth.meant(goat.sentences[4], expected[1].shape)
        np.testing.assert_array_equal(meant, expected[1])
        # Palette PNG: 255 is void, whatever its colour.
        assert truth.void[0].all()
        assert not truth.void[1:].any()
    assert videos[1].truth(3).void is None
    assert goat.image(3).shape == (video_trees.HEIGHT, video_trees.WIDTH, 3)


def test_refer_youtube_vos_names_what_is_left_out(tmp_path):
    frames = video_trees.names(4, step=5)
    images = tmp_path / "valid" / "JPEGImages"
    for video in ("aa", "bb", "ee"):
        video_trees.write_frames(images / video, frames)
    (images / "bb" / "00010.jpg").unlink()
    said = {"10": {"exp": "собака слева"}, "9": {"exp": " "}, "2": {"exp": "b"}}
    write = video_trees.write_list
    expressions = tmp_path / "meta_expressions"
    write(
        expressions / "valid" / "meta_expressions.json",
        {v: (frames, said) for v in ("aa", "bb", "cc", "../dd", "ee")},
    )
    write(
        expressions / "test" / "meta_expressions.json", {"ee": (frames, said)}
    )
    videos, excluded = listed.read_split(
        tmp_path, "refer_youtube_vos", "valid", tmp_path
    )
    assert [v.name for v in videos] == ["aa", "bb"]
    assert videos[1].frame_names == ("00000", "00005", "00015")
    # In the order of numbers, with the text as it is.
    assert videos[0].sentences == (
        Sentence("2", "b", None),
        Sentence("10", "собака слева", None),
    )
    assert videos[0].annotated() == []
    assert excluded == [
        (listed.TEST_VIDEO, "ee"),
        (listed.EMPTY_SENTENCE, "aa/9"),
        (listed.MISSING_FRAME, "bb/00010"),
        (listed.EMPTY_SENTENCE, "bb/9"),
        (listed.MISSING_VIDEO, "cc"),
        (listed.UNSAFE_NAME, "../dd"),
    ]


def test_mevis(tmp_path):
    root = video_trees.write_mevis(tmp_path / "mevis")
    # A frame without its image must not shift the masks of those behind it.
    (root / "valid_u" / "JPEGImages" / "0ab4" / "00003.jpg").unlink()
    (video,), excluded = listed.read_split(root, "mevis", "valid_u", tmp_path)
    assert excluded == [(listed.MISSING_FRAME, "0ab4/00003")]
    assert [s.objects for s in video.sentences] == [("7",), ("7", "9"), ()]
    shape = video_trees.HEIGHT, video_trees.WIDTH
    for index, name in enumerate(video.frame_names):
        one, two = video_trees.object_masks(int(name))
        truth = video.truth(index)
        for sentence, expected in zip(
            video.sentences, (one, one | two, one & False), strict=True
        ):
            np.testing.assert_array_equal(
                truth.meant(sentence, shape), expected
            )
    assert ("9" in video.truth(0).masks) is False


def test_mevis_without_a_track(tmp_path):
    root = video_trees.write_mevis(tmp_path / "mevis")
    path = root / "valid_u" / "mask_dict.json"
    path.write_text(json.dumps({"7": json.loads(path.read_text())["7"]}))
    with pytest.raises(UserError, match=r"no masks 9, .* about 0ab4 means"):
        listed.read_split(root, "mevis", "valid_u", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["[]", '{"videos": []}', '{"videos": {"a": {"frames": ["0"]}}}',
     '{"videos": {"a": {"frames": [1], "expressions": {}}}}',
     '{"videos": {"a": {"frames": [], "expressions": {"0": {"exp": 1}}}}}'],
)  # fmt: skip
def test_a_list_of_another_format(tmp_path, content):
    root = video_trees.write_davis(tmp_path)
    path = root / "meta_expressions" / "valid" / "meta_expressions.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is no list of expressions"):
        listed.read_split(root, "ref_davis17", "valid", tmp_path)


def test_run_lengths():
    rng = np.random.default_rng(0)
    for density in (0, 0.02, 0.5, 1):
        mask = rng.random((37, 53)) < density
        packed = video_trees.run_lengths(mask)
        np.testing.assert_array_equal(masks.decode(packed, ""), mask)
    listed_runs = {"size": [2, 3], "counts": [1, 2, 3]}
    np.testing.assert_array_equal(
        masks.decode(listed_runs, ""), [[0, 1, 0], [1, 0, 0]]
    )


@pytest.mark.parametrize(
    "damaged",
    [None, [[1, 2, 3, 4]], {"size": [4, 4], "counts": "0"},
     {"size": [4, 4], "counts": ""}, {"size": [4, 4], "counts": [3, 50]},
     {"size": [4, 4], "counts": [-1, 17]}, {"size": [0, 0], "counts": []},
     {"size": [2**20, 2**20], "counts": [2**40]},
     {"size": [4, 4], "counts": "ÿÿ"}],
)  # fmt: skip
def test_damaged_run_lengths_are_refused(damaged):
    with pytest.raises(UserError, match="here: what should be"):
        masks.decode(damaged, "here")


def test_painted_masks(tmp_path):
    """White, soft, transparent, and in numbers; colours are refused."""
    mask = video_trees.object_masks(3)[0]
    white = np.where(mask, 255, 0).astype(np.uint8)
    soft = white.copy()
    soft[mask] = 130
    soft[0, 0] = 100
    clear = np.stack([white | 255] * 3 + [white], axis=-1)
    for name, pixels in {
        "grey": white,
        "soft": soft,
        "rgb": np.stack([white] * 3, axis=-1),
        "rgba": clear,
        "number": mask.astype(np.uint8),
    }.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        truth = masks.ImageMasks(tmp_path, painted=True).read(0, name)
        assert list(truth.masks) == ["1"], name
        np.testing.assert_array_equal(truth.masks["1"], mask, err_msg=name)
    coloured = np.stack([white, white // 2, white], axis=-1)
    Image.fromarray(coloured).save(tmp_path / "red.png")
    with pytest.raises(UserError, match=r"red\.png has colours"):
        masks.ImageMasks(tmp_path, painted=True).read(0, "red")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="is no image that can be read"):
        masks.ImageMasks(tmp_path).read(0, "text")


def test_own_sentences(tmp_path):
    (tmp_path / "sentences.csv").write_text(
        "video,object,sentence,subset\n"
        'cat,1,"the cat, left",\n'
        "cat,1 2,both cats,train\n"
        "cat,1 2,both cats,train\n"
        "dog,,a dog,test\n"
        "dog,1,  ,test\n"
        "../x,1,a,\n"
    )
    subsets, sentences, excluded = own.read_sentences(tmp_path)
    assert subsets == {"cat": "train", "dog": "test"}
    assert sentences == {
        "cat": (
            Sentence("0", "the cat, left", ("1",)),
            Sentence("1", "both cats", ("1", "2")),
        ),
        "dog": (Sentence("0", "a dog", ("1",)),),
    }
    assert [reason for reason, _ in excluded] == [
        own.REPEATED_SENTENCE,
        own.EMPTY_SENTENCE,
        own.UNSAFE_NAME,
    ]
    (tmp_path / "sentences.csv").rename(tmp_path / "list")
    rows = [{"video": "cat", "sentence": "both", "object": [1, 2]}]
    (tmp_path / "sentences.json").write_text(json.dumps(rows))
    assert own.read_sentences(tmp_path)[1] == {
        "cat": (Sentence("0", "both", ("1", "2")),)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "must begin with the names of its columns"),
        ("video,sentence\na,b,c\n", "line 2, has 3 columns instead of 2"),
        ("video,sentence,subset\na,b,val\n", "must be train or test"),
        ("video,sentence,subset\na,b,train\na,c,test\n", "in both subsets"),
        ("video,sentence\n", "holds no sentence"),
    ],
)
def test_wrong_own_lists(tmp_path, text, message):
    (tmp_path / "sentences.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        own.read_sentences(tmp_path)


def test_own_lists_missing_or_double(tmp_path):
    with pytest.raises(UserError, match="not none"):
        own.read_sentences(tmp_path)
    for name in ("sentences.csv", "sentences.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="not both"):
        own.read_sentences(tmp_path)


def test_two_files_of_one_own_video(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "a.mov"):
        (tmp_path / "videos" / name).touch()
    with pytest.raises(UserError, match=r"both the video a; rename"):
        own.source_of(tmp_path, "a")
    assert own.source_of(tmp_path, "a.mov").name == "a.mov"
    assert own.source_of(tmp_path, "b") is None


def test_a_coco_file_of_segment(tmp_path):
    one, two = video_trees.object_masks(5)
    content = {
        "images": [{"id": 6}, {"id": 9}],
        "annotations": [
            {"image_id": 6, "category_id": 1,
             "segmentation": video_trees.run_lengths(one)},
            {"image_id": 6, "category_id": 1,
             "segmentation": video_trees.run_lengths(two)},
        ],
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    found = masks.CocoMasks(path)
    assert found.numbers() == [6, 9]
    np.testing.assert_array_equal(found.read(5, "6").masks["1"], one | two)
    assert found.read(8, "9").masks == {}
    (tmp_path / "b.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="no file of masks in COCO's format"):
        masks.CocoMasks(tmp_path / "b.json").numbers()


def test_a_mask_of_16_bits_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.full((4, 4), 300, np.uint16))
    with pytest.raises(UserError, match="has colours or 16 bits"):
        masks.ImageMasks(tmp_path).read(0, "0")
