"""Clips made of fabricated pictures in COCO's format."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import small_records
from coco_pictures import CAR, DOG, HEIGHT, PERSON, WIDTH
from coco_pictures import circle as _circle
from coco_pictures import of as _of
from coco_pictures import source as _source

from keras_vas.data import records
from keras_vas.data.picture_clips import (
    clips,
    coco,
    collection,
    language,
    scene,
    whole,
)
from keras_vas.errors import UserError


@pytest.fixture
def source(tmp_path):
    return _source(
        tmp_path / "coco",
        [
            _of(0, DOG, _circle(80, 60, 25)),
            _of(1, CAR, _circle(60, 50, 30)),
            _of(2, PERSON, _circle(90, 60, 28)),
            _of(3, DOG, _circle(40, 60, 20)),
            _of(3, DOG, _circle(120, 60, 20)),
        ],
    )


def test_a_circle_has_the_area_of_a_circle(source):
    picture = coco.read(source)[0]
    mask = picture.instances[0].mask(HEIGHT, WIDTH)
    assert mask.sum() == pytest.approx(np.pi * 25**2, rel=0.05)
    assert mask[60, 80]
    assert not mask[60, 110]


def test_only_whole_instances_are_cut_out(tmp_path):
    source = _source(
        tmp_path / "coco",
        [
            _of(0, DOG, _circle(80, 60, 25)),
            _of(1, DOG, _circle(2, 60, 25)),  # cut off by the picture's edge
            _of(2, DOG, _circle(80, 60, 3)),  # too small
            _of(3, DOG, _circle(40, 60, 18), _circle(110, 60, 18)),  # in pieces
            _of(4, CAR, _circle(80, 60, 25)),
            _of(4, DOG, _circle(80, 60, 20)),  # behind or before another
        ],
    )
    found = [
        [x.category for x in whole.whole_instances(picture)]
        for picture in coco.read(source)
    ]
    assert found == [["dog"], [], [], [], [], []]


def test_crowds_empty_polygons_and_negative_boxes(tmp_path):
    source = _source(
        tmp_path / "coco",
        [
            _of(0, DOG, iscrowd=1) | {"segmentation": {"counts": [1, 2]}},
            _of(1, DOG, [], [1.0, 2.0]),
            _of(
                2,
                DOG,
                [-20.0, -5.0, 30.0, 10.0, 30.0, 60.0],
                bbox=[-9, 0, 1, 1],
            ),
            _of(3, DOG, _circle(80, 60, 25)),
        ],
    )
    crowd, empty, negative, *_ = coco.read(source)
    assert crowd.unoutlined
    assert not crowd.instances
    assert not empty.instances
    assert negative.instances[0].polygons[0].min() == 0
    assert 0 not in {p.id for p in collection.Collection(source).backgrounds}


def _set(name, value, kind="annotations"):
    return lambda data: [x.update({name: value}) for x in data[kind]]


@pytest.mark.parametrize(
    "edit",
    {
        "no pictures": lambda data: data["images"].clear(),
        "no annotations": lambda data: data["annotations"].clear(),
        "annotations of other pictures": _set("image_id", 99),
        "no polygons": _set("segmentation", []),
        "empty polygons": _set("segmentation", [[]]),
        "odd polygons": _set("segmentation", [[1, 2, 3]]),
        "run lengths": _set("segmentation", {"size": [9, 9], "counts": [81]}),
        "crowds": _set("iscrowd", 1),
        "a text": _set("segmentation", "abc"),
        "texts": _set("segmentation", [["a"] * 6]),
        "nan": _set("segmentation", [[float("nan")] * 8]),
        "far away": _set("segmentation", [[1e300, 1e300, -1e300, 5, 7, 8]]),
        "unknown categories": _set("category_id", 99),
        "paths": _set("file_name", "../0.jpg", "images"),
        "no size": _set("height", 0, "images"),
        "negative sizes": _set("width", -5, "images"),
        "large pictures": _set("height", 10**9, "images"),
        "sizes of text": _set("height", "9", "images"),
    }.items(),
    ids=lambda item: item[0],
)
def test_annotations_without_use_are_one_line(source, edit):
    path = source / "instances.json"
    data = json.loads(path.read_text())
    edit[1](data)
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=str(source)) as raised:
        collection.collect(str(source))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "damage", ["nothing", "annotations", "picture", "size"]
)
def test_damaged_sources_are_the_users_error(source, damage):
    path = source / "images" / "0.jpg"
    if damage == "nothing":
        (source / "instances.json").unlink()
    elif damage == "annotations":
        (source / "instances.json").write_text('{"images": []}')
    elif damage == "picture":
        path.unlink()
    else:
        cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(UserError) as raised:
        coco.read(source)[0].read()
    assert "\n" not in str(raised.value)
    assert str(source) in str(raised.value)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red"), ((30, 60, 200), "blue"),
        ((40, 150, 50), "green"), ((20, 20, 20), "black"),
        ((240, 240, 238), "white"),
        ((120, 120, 122), "gray"), ((110, 75, 45), "brown"),
        ((240, 220, 40), "yellow"),
    ],
)  # fmt: skip
def test_colour_names(rgb, name):
    image = np.full((8, 8, 3), rgb, np.uint8)
    assert language.colour_name(image, np.ones((8, 8), bool)) == name


def test_a_mixed_object_has_no_colour():
    image = np.zeros((9, 9, 3), np.uint8)
    image[:3], image[3:6], image[6:] = (
        (200, 30, 30),
        (30, 60, 200),
        (30, 150, 30),
    )
    assert language.colour_name(image, np.ones((9, 9), bool)) == ""


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)],
)
def test_objects_move_as_it_is_said(motion, axis, sign, monkeypatch):
    still = np.tile(np.eye(3), (8, 1, 1))
    monkeypatch.setattr(scene, "_camera", lambda rng: still)
    image = np.zeros((60, 60, 3), np.uint8)
    image[..., 0] = 255
    cut = scene.CutOut(image, np.ones((60, 60), bool))
    background = np.zeros((200, 300, 3), np.uint8)
    rng = np.random.default_rng(2)
    frames, masks, _, _ = scene.draw(rng, background, [cut], [motion])
    red = frames[..., 0] > 80
    middles = np.array([np.argwhere(x).mean(axis=0)[::-1] for x in red[2:7]])
    assert (sign * np.diff(middles[:, axis]) > 0).all()
    # The mask is where the object is at the target frame.
    both, either = (masks[0] & red[4]).sum(), (masks[0] | red[4]).sum()
    assert both / either > 0.9


def _records(folder, source, kind, count):
    def convert(video_id, split):
        return clips.convert(video_id, split, source=str(source), seed=3)

    ids = [f"{kind}-{number:06d}" for number in range(count)]
    small_records.write(folder, convert, {"train": ids}, clips.DATASET)
    index = records.read_index(folder, "train")
    return [index.read(i) for i in range(len(index))]


def test_sentences_name_what_they_mean_or_nothing(source, tmp_path):
    frames = _records(tmp_path / "records", source, "cutouts", 30)
    asked = [(f, q) for f in frames for q in f.queries]
    empty = [not f.actors[q.actor].mask.any() for f, q in asked]
    assert 0 < sum(empty) < 0.35 * len(empty)
    for (frame, query), absent in zip(asked, empty, strict=True):
        if absent:
            assert frame.actors[query.actor].id == "nothing"
        else:
            look = frame.actors[query.actor].look
            assert any(x in query.text for x in language.names_of(look))


def test_two_like_things_in_a_still_are_told_by_their_place(source, tmp_path):
    frames = _records(tmp_path / "records", source, "stills", 4)
    (last,) = [f for f in frames if f.video_id == "stills-000003"]
    dogs = [q for q in last.queries if last.actors[q.actor].look == "dog"]
    assert len(dogs) == 2
    for query in dogs:
        columns = last.actors[query.actor].mask.nonzero()[1]
        side = "left" if columns.mean() < WIDTH / 2 else "right"
        assert side in query.text


def test_the_program_writes_the_same_whatever_its_workers(
    source, tmp_path, repository
):
    written = []
    for workers in (1, 2):
        output = tmp_path / f"records{workers}"
        subprocess.run(
            [
                sys.executable,
                str(repository / "tfrecords" / "build_pictures.py"),
                f"--source={source}",
                f"--output={output}",
                "--cutouts=8",
                "--stills=2",
                f"--workers={workers}",
            ],
            check=True,
        )
        written.append(
            [p.read_bytes() for p in sorted(output.glob("*.tfrecord"))]
        )
    assert written[0] == written[1]
    assert sum(map(len, written[0])) > 0
