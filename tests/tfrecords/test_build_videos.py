"""Records of Ref-DAVIS17, Refer-YouTube-VOS, MeViS and anybody's own videos."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import video_trees
from PIL import Image

from keras_vas.data import records
from keras_vas.data.records import schema
from keras_vas.data.video_sets import conversion, listed
from keras_vas.errors import UserError
from keras_vas.video.writer import VideoFile


@pytest.fixture(scope="module")
def programs(repository):
    sys.path.insert(0, str(repository / "tfrecords"))
    import build_frames
    import listed_videos

    yield listed_videos, build_frames
    sys.path.remove(str(repository / "tfrecords"))


def build(programs, dataset, source, output, splits, most=0):
    return programs[0].build(
        dataset, source, output, splits, most=most, workers=1, shards=1
    )


def frames_of(output, split):
    index = records.read_index(output, split)
    return {
        f.frame_number: f for f in (index.read(i) for i in range(len(index)))
    }


def excluded_of(output):
    with open(output / "excluded.csv", newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def said(frame):
    """What each sentence of a frame means: (text, actor's id, mask)."""
    return [
        (query.text, actor.id, actor.mask)
        for query in frame.queries
        for actor in [frame.actors[query.actor]]
    ]


def check(found, expected):
    assert [x[:2] for x in found] == [x[:2] for x in expected]
    for (*_, mask), (text, _, true) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, true, err_msg=text)


def test_ref_davis(programs, tmp_path):
    source, out = tmp_path / "davis", tmp_path / "out"
    video_trees.write_davis(source, ["bear"], "train")
    video_trees.write_davis(source, ["goat"], "valid")
    splits = {"train": "train", "test": "valid"}
    manifest = build(programs, "ref_davis17", source, out, splits, most=3)
    counts = {
        subset: [x[k] for k in ("videos", "frames", "queries", "samples")]
        for subset, x in manifest["splits"].items()
    }
    # Two of four sentences about an object are the same one.
    assert counts == {"train": [1, 3, 6, 18], "test": [1, 3, 6, 18]}
    assert manifest["excluded"] == {conversion.REPEATED_SENTENCE: 4}
    frames = frames_of(out, "test")
    assert sorted(frames) == [3, 7, 11]
    for number, frame in frames.items():
        one, two = video_trees.object_masks(number - 1)
        assert frame.key == f"ref_davis17/goat/{number:05d}"
        # Void is background here.
        assert [a.id for a in frame.actors] == ["1", "2"]
        bright = ["the bright square", "the bright square 2"]
        dark = ["the dark square", "the dark square 2"]
        check(
            [x for x in said(frame) if not x[0].endswith("3")],
            [(x, "1", one) for x in bright] + [(x, "2", two) for x in dark],
        )
        for n, data in zip(frame.clip_frame_numbers, frame.clip, strict=True):
            difference = schema.decode_jpeg(data) - 1.0 * video_trees.image(
                n - 1
            )
            assert np.abs(difference).mean() < 8


def test_what_refer_youtube_vos_may_lack(programs, tmp_path):
    """No object, one that is not in the frame, damaged and missing files."""
    source, out = tmp_path / "source", tmp_path / "out"
    frames = video_trees.names(3, step=5)
    write = video_trees.write_list
    said = {
        "0": {"exp": "a bright one", "obj_id": 1},
        "1": {"exp": "a dark one", "obj_id": "2"},
        "2": {"exp": "one that is never there", "obj_id": "7"},
        "3": {"exp": "who knows"},
    }
    folder = source / "train"
    for video in ("aa", "bb", "cc"):
        video_trees.write_frames(folder / "JPEGImages" / video, frames)
    for index, name in enumerate(frames):
        place = folder / "Annotations" / "aa" / f"{name}.png"
        video_trees.write_labels(place, video_trees.labels(index))
        video_trees.write_labels(
            folder / "Annotations" / "bb" / f"{name}.png",
            video_trees.labels(index)[:, :-1]
            if index
            else np.eye(3, dtype="u1"),
        )
    place.write_bytes(place.read_bytes()[:60])
    (folder / "JPEGImages" / "bb" / "00005.jpg").write_text("broken")
    write(
        source / "meta_expressions" / "train" / "meta_expressions.json",
        {v: (frames, said) for v in ("aa", "bb", "cc", "dd")},
    )
    manifest = build(
        programs, "refer_youtube_vos", source, out, {"train": "train"}
    )
    assert manifest["splits"]["train"]["samples"] == 2
    assert all(f.video_id == "aa" for f in frames_of(out, "train").values())
    reasons = [
        (reason, item.partition(":")[0]) for reason, item in excluded_of(out)
    ]
    assert sorted(reasons) == sorted(
        [
            (listed.MISSING_VIDEO, "dd"),
            (conversion.WITHOUT_OBJECT, "aa"),
            (conversion.WITHOUT_OBJECT, "bb"),
            (conversion.WITHOUT_OBJECT, "cc"),
            (conversion.WITHOUT_MASKS, "cc"),
            *[(conversion.NOT_IN_FRAME, f"aa/0000{n}") for n in (1, 1, 2, 2)],
            (conversion.UNREADABLE_MASK, "aa/00003"),
            (conversion.UNREADABLE_IMAGE, "bb/00005.jpg"),
            (conversion.MASK_OF_OTHER_SIZE, "bb/00001"),
            (conversion.MASK_OF_OTHER_SIZE, "bb/00003"),
        ]
    )


def test_mevis(programs, tmp_path):
    source = video_trees.write_mevis(tmp_path / "mevis", "train")
    out = tmp_path / "out"
    splits = {"train": "train", "test": "valid_u"}
    manifest = build(programs, "mevis", source, out, splits, most=4)
    assert list(manifest["splits"]) == ["train"]
    for number, frame in frames_of(out, "train").items():
        one, two = video_trees.object_masks(number - 1)
        check(
            said(frame),
            [
                ("the bright square", "7", one),
                ("both squares", "7+9", one | two),
                ("the flying square", "nothing", one & False),
            ],
        )
        assert {"7", "9"} <= {a.id for a in frame.actors} or number < 3


def own_tree(root):
    """A video file, a folder of images with names, and one of run lengths."""
    (root / "videos").mkdir(parents=True)
    video = VideoFile(root / "videos" / "phone.mp4", 10)
    for index in range(video_trees.FRAMES):
        video.add(video_trees.image(index), index / 10)
    video.close()
    for number in (3, 6, 99):
        mask = video_trees.object_masks(number - 1)[0] * np.uint8(255)
        place = root / "masks" / "phone" / f"{number:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(place)
    names = ["a1", "a2", "a10"]
    video_trees.write_frames(root / "videos" / "shots", names)
    video_trees.write_labels(
        root / "masks" / "shots" / "a10.png", video_trees.labels(2)
    )
    video_trees.write_labels(
        root / "masks" / "shots" / "x.png", video_trees.labels(2)
    )
    video_trees.write_frames(root / "videos" / "rle", ["5", "6", "7"])
    annotation = {
        "image_id": 3,
        "category_id": 4,
        "segmentation": video_trees.run_lengths(video_trees.object_masks(2)[1]),
    }
    (root / "masks" / "rle.json").write_text(
        json.dumps({"images": [{"id": 3}], "annotations": [annotation]})
    )
    (root / "sentences.csv").write_text(
        "video,object,sentence,subset\n"
        "phone,,the bright one,train\n"
        'shots,1 2,"both, of them",test\n'
        "rle,4,the dark one,test\n"
        "none,1,nobody,train\n"
    )
    return root


def test_own_videos(programs, tmp_path):
    source, out = own_tree(tmp_path / "mine"), tmp_path / "out"
    programs[1].build(source, out, name="mine", most=0, workers=1, shards=1)
    phone = frames_of(out, "train")
    assert sorted(phone) == [3, 6]
    for number, frame in phone.items():
        one, _ = video_trees.object_masks(number - 1)
        check(said(frame), [("the bright one", "1", one)])
        shown = schema.decode_jpeg(frame.clip[schema.TARGET_INDEX])
        assert np.abs(shown - 1.0 * video_trees.image(number - 1)).mean() < 12
    test = records.read_index(out, "test")
    one, two = video_trees.object_masks(2)
    by_video = {f.video_id: f for f in map(test.read, range(len(test)))}
    check(said(by_video["shots"]), [("both, of them", "1+2", one | two)])
    check(said(by_video["rle"]), [("the dark one", "4", two)])
    # a10 is the third image, behind a2.
    assert by_video["shots"].frame_number == 3
    assert sorted(excluded_of(out)) == sorted(
        [
            (conversion.MISSING_VIDEO, "none"),
            (conversion.MASK_OF_NO_FRAME, "phone/00099"),
            (conversion.MASK_OF_NO_FRAME, "shots/x.png"),
        ]
    )


def test_frames_to_paint(programs, tmp_path):
    source = own_tree(tmp_path / "mine")
    assert programs[1].write_frames_to_paint(source, 2) == 6
    painted = sorted(
        str(x.relative_to(source / "to_paint"))
        for x in (source / "to_paint").glob("*/*")
    )
    assert painted == [
        "phone/00004.png", "phone/00010.png", "rle/5.png", "rle/7.png",
        "shots/a1.png", "shots/a10.png",
    ]  # fmt: skip
    shown = cv2.imread(str(source / "to_paint" / "phone" / "00004.png"))
    shown = shown[..., ::-1] - 1.0 * video_trees.image(3)
    assert np.abs(shown).mean() < 12


def test_the_program_says_what_is_missing(repository, programs, tmp_path):
    (tmp_path / "mine" / "videos").mkdir(parents=True)
    (tmp_path / "mine" / "videos" / "a.mp4").touch()
    with pytest.raises(UserError, match="--frames_to_paint writes what"):
        programs[1].build(
            tmp_path / "mine", tmp_path, name="x", most=0, workers=1, shards=1
        )
    source = video_trees.write_davis(tmp_path / "davis", ["goat"], "train")
    done = subprocess.run(
        [sys.executable, "tfrecords/build_ref_davis17.py", "--check",
         f"--source={source}", f"--output={tmp_path / 'out'}",
         "--workers=1"],
        cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "train videos" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the counts differ")
