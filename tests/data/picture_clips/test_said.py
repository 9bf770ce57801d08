"""Sentences of RefCOCO and captions of COCO, fabricated."""

import json
import pickle
import subprocess
import sys

import pytest
import small_records
from coco_pictures import CAR, DOG, PERSON, WIDTH, circle, of, source

from keras_vas.data import records
from keras_vas.data.picture_clips import clips, coco, said
from keras_vas.errors import UserError

LEFT, RIGHT = circle(40, 60, 20), circle(120, 60, 20)
RLE = {"size": [120, 160], "counts": [9, 9, 19182]}


@pytest.fixture
def folder(tmp_path):
    return source(
        tmp_path / "refcoco",
        [
            of(0, DOG, LEFT),
            of(0, DOG, RIGHT),
            of(1, CAR, LEFT),
            of(1, PERSON) | {"segmentation": RLE, "iscrowd": 1},
            of(2, PERSON, RIGHT),
            of(3, CAR, LEFT),
            of(4, DOG, circle(80, 60, 25)),
        ],
    )


def ref(annotation, image, *texts, split="train", number=None):
    return {
        "ref_id": annotation if number is None else number,
        "ann_id": annotation,
        "image_id": image,
        "split": split,
        "category_id": 1,
        "file_name": f"COCO_train2014_{image:012d}_{annotation}.jpg",
        "sent_ids": list(range(len(texts))),
        "sentences": [
            {"sent": x, "raw": x.upper(), "tokens": x.split(), "sent_id": i}
            for i, x in enumerate(texts)
        ],
    }


REFS = [
    ref(0, 0, "dog on the left", "left one"),
    ref(1, 0, "right  dog"),
    ref(2, 1, "the car"),
    ref(4, 2, "woman", split="testA"),
]


def write(folder, refs, by="unc", protocol=2):
    path = folder / f"refs({by}).p"
    path.write_bytes(pickle.dumps(refs, protocol))
    return path


def read(folder):
    found, left_out = said.read(folder, coco.read(folder))
    return {x.picture.id: set(x.sentences) for x in found}, left_out


EXPECTED = {
    0: {("dog on the left", 0), ("left one", 0), ("right dog", 1)},
    1: {("the car", 0)},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sentences_for_training_are_read(folder, protocol):
    write(folder, REFS, protocol=protocol)
    assert read(folder) == (EXPECTED, [])


def test_a_picture_must_be_for_training_in_every_file(folder):
    write(folder, REFS)
    write(folder, [ref(1, 0, "the one there", split="val")], by="google")
    found, left_out = read(folder)
    assert found == {1: EXPECTED[1]}
    assert len(left_out) == 2
    assert {reason for reason, _ in left_out} == {
        "sentence about a picture of two splits"
    }


def test_what_cannot_be_shown_is_left_out_and_named(folder):
    path = folder / "instances.json"
    data = json.loads(path.read_text())
    data["images"][3]["complete"] = False
    path.write_text(json.dumps(data))
    more = [
        ref(3, 1, "the crowd", number=30),
        ref(5, 3, "the car", number=31),
        ref(77, 99, "the cat", number=32),
    ]
    write(folder, REFS + more)
    found, left_out = read(folder)
    assert found == EXPECTED
    assert left_out == [
        ("sentence about an object without polygons", "refs(unc).p:30"),
        ("sentence about a picture that is not complete", "refs(unc).p:31"),
        ("sentence about a picture without annotations", "refs(unc).p:32"),
    ]


class Call:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


DAMAGE = {
    "missing annotation": lambda mark: [*REFS, ref(88, 0, "the cat")],
    "a program": lambda mark: [Call(mark)],
    "a program inside": lambda mark: [{**REFS[0], "sentences": Call(mark)}],
    "no list": lambda mark: 5,
    "a dict": lambda mark: {"split": "train"},
    "no dicts": lambda mark: [1, 2],
    "no split": lambda mark: [{"ann_id": 1}],
    "no numbers": lambda mark: [{**REFS[0], "ann_id": "x"}],
    "no sentences": lambda mark: [{**REFS[0], "sentences": None}],
    "no texts": lambda mark: [{**REFS[0], "sentences": [{"sent": 5}]}],
    "lists for pictures": lambda mark: [
        {**REFS[0], "image_id": [], "split": "val"}
    ],
}


@pytest.mark.parametrize("make", DAMAGE.values(), ids=DAMAGE)
def test_damaged_references_are_one_line(folder, tmp_path, make):
    path = write(folder, make(tmp_path / "mark"))
    with pytest.raises(UserError) as raised:
        read(folder)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "mark").exists()


def _captions(folder, *captions):
    written = [{"image_id": i, "caption": text} for i, text in captions]
    path = folder / "captions.json"
    path.write_text(json.dumps({"annotations": written}))
    return path


def test_captions_about_one_object_are_sentences(folder):
    _captions(
        folder,
        (0, "A dog on the grass."),  # there are two
        (1, "A car beside a crowd"),  # a crowd is not outlined
        (2, "A woman\nholding a bag"),
        (2, "Two women"),
        (3, "A boy rides a car"),
        (2, "A bag held by a woman"),
        (2, "Nothing of all that"),
        (4, "A brown puppy sits."),
        (4, "Dogs"),
        (99, "A dog"),
    )
    found, left_out = read(folder)
    assert found == {
        2: {("A woman holding a bag", 0)},
        4: {("A brown puppy sits.", 0)},
    }
    assert left_out == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"annotations": [{"image_id": 0}]}', "[" * 10**5]
)
def test_damaged_captions_are_one_line(folder, text):
    path = folder / "captions.json"
    path.write_text(text)
    with pytest.raises(UserError, match="captions") as raised:
        read(folder)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_records_have_the_sentences_and_their_masks(folder, tmp_path):
    write(folder, REFS)
    small_records.write(
        tmp_path / "records",
        lambda video, split: clips.convert(
            video, split, source=str(folder), seed=0
        ),
        {"train": [f"sentences-{i:06d}" for i in range(4)]},
        clips.DATASET,
    )
    index = records.read_index(tmp_path / "records", "train")
    checked = 0
    for frame in map(index.read, range(len(index))):
        for query in frame.queries:
            mask = frame.actors[query.actor].mask
            if frame.actors[query.actor].id == "nothing":
                assert not mask.any()
            elif query.text in ("left one", "right dog"):
                middle = mask.nonzero()[1].mean()
                assert (middle < WIDTH / 2) == (query.text == "left one")
                checked += 1
    assert checked == 4


def build(repository, folder, output, *more):
    return subprocess.run(
        [
            sys.executable,
            str(repository / "tfrecords" / "build_pictures.py"),
            f"--source={folder}", f"--output={output}",
            "--cutouts=0", "--stills=0", "--workers=1", *more,
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_the_program_takes_the_pictures_of_refer(folder, tmp_path, repository):
    """DATA/refcoco with the annotations, DATA/images/mscoco with pictures."""
    pictures = tmp_path / "images/mscoco/images/train2014"
    pictures.parent.mkdir(parents=True)
    (folder / "images").rename(pictures)
    write(folder, [*REFS, ref(3, 1, "all of them")])
    output = tmp_path / "records"
    done = build(repository, folder, output, "--sentences=2")
    assert done.returncode == 0, done.stderr
    manifest = records.read_manifest(output)
    assert manifest["splits"]["train"]["videos"] == 2
    assert (
        "without polygons,refs(unc).p:3"
        in (output / "excluded.csv").read_text()
    )


@pytest.mark.parametrize("damage", ["program", "picture", "sentences"])
def test_the_program_says_one_line_and_writes_nothing(
    folder, tmp_path, repository, damage
):
    write(folder, [Call(tmp_path / "mark")] if damage == "program" else REFS)
    if damage == "picture":
        (folder / "images" / "5.jpg").unlink()
    elif damage == "sentences":
        (folder / "refs(unc).p").unlink()
    output = tmp_path / "records"
    done = build(repository, folder, output, "--sentences=3")
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert [x for x in lines if x.startswith("error: ")] == lines[-1:]
    assert "Traceback" not in done.stderr
    assert not output.exists()
    assert not (tmp_path / "mark").exists()
