"""Whole videos: who is asked what, the means, and the masks on disk."""

import csv
import json
import shutil
import types
import zipfile

import cv2
import numpy as np
import pytest
import video_trees
from PIL import Image

from keras_vas import metrics
from keras_vas.data.video_sets import listed
from keras_vas.data.video_sets.video import Sentence, SetVideo
from keras_vas.errors import UserError
from keras_vas.evaluation import dense, dense_report, mask_layouts
from keras_vas.programs import evaluate_benchmark

SHAPE = video_trees.HEIGHT, video_trees.WIDTH
COUNT = 4


def probabilities(text, number):
    """What the stand-in for a model finds: a blob of its own, or nothing."""
    if "flying" in text:
        return np.zeros(SHAPE, np.float32)
    rng = np.random.default_rng([number, *text.encode()])
    y, x = rng.integers(0, 12, 2)
    found = np.zeros(SHAPE, np.float32)
    found[y : y + 22, x : x + 40] = rng.uniform(0.51, 1)
    return found


class Segment:
    """A stand-in for `Predictor.stream` that notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, video, texts, numbers):
        self.asked.append((texts, list(numbers)))
        for frame in video:
            if frame.number in numbers:
                assert frame.image.shape[:2] == SHAPE
                yield types.SimpleNamespace(
                    number=frame.number,
                    probabilities=np.stack(
                        [probabilities(text, frame.number) for text in texts]
                    ),
                )


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    root = tmp_path_factory.mktemp("davis")
    return video_trees.write_davis(root / "source", count=COUNT)


@pytest.fixture(scope="module")
def evaluated(davis, tmp_path_factory):
    """(report, output, what was asked) of Ref-DAVIS17."""
    out, segment = tmp_path_factory.mktemp("out"), Segment()
    report = dense.evaluate(
        "ref_davis17", videos(davis), out, segment, progress=False
    )
    return report, out, segment.asked


def videos(davis):
    return listed.read_split(davis, "ref_davis17", "valid", davis)[0]


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_hand(void):
    """J and F of every (annotator, object) of a video, from the definition."""
    found = {}
    for annotator in range(4):
        texts = [
            video_trees.davis_expressions()[str(4 * i + annotator)]["exp"]
            for i in range(2)
        ]
        frames = [[], []]
        for index in range(COUNT):
            one, two = (probabilities(text, index + 1) for text in texts)
            predicted = (one > 0.5) & (one >= two), (two > 0.5) & (two > one)
            true = video_trees.object_masks(index)
            for i in range(2):
                pair = predicted[i].copy(), true[i].copy()
                if void:
                    pair[0][0] = pair[1][0] = False
                frames[i].append(
                    (
                        metrics.region_similarity(*pair),
                        metrics.contour_accuracy(*pair),
                    )
                )
        for i in range(2):
            found[annotator, str(i + 1)] = np.mean(frames[i], axis=0)
    return found


def test_four_annotators(evaluated):
    report, out, asked = evaluated
    each = {"goat": by_hand(void=True), "parkour": by_hand(void=False)}
    runs = [
        np.mean([x[k, o] for x in each.values() for o in "12"], axis=0)
        for k in range(4)
    ]
    j, f = np.mean(runs, axis=0)
    assert report["j"] == pytest.approx(j)
    assert report["f"] == pytest.approx(f)
    assert report["j_and_f"] == pytest.approx((j + f) / 2)
    assert 0.02 < j < 0.9
    assert [x["j"] for x in report["annotators"]] == pytest.approx(
        [x[0] for x in runs]
    )
    assert report["annotators"][0] != report["annotators"][2]
    # Equal sentences are asked once, and each video once.
    assert [len(texts) for texts, _ in asked] == [6, 6]
    assert [numbers for _, numbers in asked] == [[1, 2, 3, 4]] * 2
    rows = rows_of(out / "sentences.csv")
    assert len(rows) == report["sentences"] == 16
    for row in rows:
        j, f = each[row["video"]][int(row["annotator"]), row["objects"]]
        assert float(row["j"]) == pytest.approx(j, abs=1e-6)
        assert float(row["f"]) == pytest.approx(f, abs=1e-6)
    sequences = rows_of(out / "sequences.csv")
    assert [row["video"] for row in sequences] == ["goat", "parkour"]
    assert float(sequences[0]["j"]) == pytest.approx(
        np.mean([x[0] for x in each["goat"].values()]), abs=1e-6
    )
    assert json.loads((out / "metrics.json").read_text()) == report
    assert cv2.imread(str(out / "pictures" / "worst-2.png")) is not None


def test_submission_of_ref_davis(evaluated):
    _, out, _ = evaluated
    names = zipfile.ZipFile(out / "submission.zip").namelist()
    assert len(names) == 4 * 2 * COUNT
    assert names[0] == "anno_0/goat/00000.png"
    image = Image.open(out / "submission" / names[0])
    assert image.mode == "P"
    # DAVIS paints the objects 1, 2 and 3 dark red, dark green, and olive.
    assert image.getpalette()[:12] == [
        0,
        0,
        0,
        128,
        0,
        0,
        0,
        128,
        0,
        128,
        128,
        0,
    ]
    labels = np.asarray(image)
    one, two = (
        probabilities(video_trees.davis_expressions()[k]["exp"], 1)
        for k in "04"
    )
    expected = np.where(two > 0.5, 2, 0)
    expected[(one > 0.5) & (one >= two)] = 1
    np.testing.assert_array_equal(labels, expected)


def test_masks_are_scored_without_a_model(davis, evaluated, tmp_path, capsys):
    report, out, _ = evaluated
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    evaluate_benchmark.evaluate("ref_davis17", davis, copy)
    again = json.loads((copy / "metrics.json").read_text())
    for key in ("j", "f", "j_and_f", "annotators", "scored_frames"):
        assert again[key] == report[key]
    assert (copy / "submission.zip").is_file()
    said = capsys.readouterr().out
    assert f"J&F {100 * report['j_and_f']:.1f}" in said
    # Of another folder, into a new one.
    evaluate_benchmark.evaluate(
        "ref_davis17", davis, tmp_path / "b", masks=copy / "submission"
    )
    table = tmp_path / "b" / "sequences.csv"
    assert table.read_bytes() == (out / "sequences.csv").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x: x.unlink(), "there is no image file"),
        (lambda x: x.write_bytes(b"?"), "is no image that can be read"),
        (lambda x: cv2.imwrite(str(x), np.zeros((3, 5), np.uint8)),
         "has 5 x 3 pixels and its frame 64 x 40"),
    ],
)  # fmt: skip
def test_wrong_masks_are_named(davis, evaluated, tmp_path, damage, message):
    masks = tmp_path / "masks"
    shutil.copytree(evaluated[1] / "submission", masks)
    damage(masks / "anno_2" / "parkour" / "00001.png")
    with pytest.raises(
        UserError,
        match=rf"anno_2/parkour/00001.*{message}|"
        rf"{message}.*anno_2/parkour/00001",
    ):
        evaluate_benchmark.evaluate(
            "ref_davis17", davis, tmp_path / "out", masks=masks
        )


def test_only_annotated_frames_without_masks(davis, tmp_path):
    source = tmp_path / "davis"
    shutil.copytree(davis, source)
    folder = source / "valid" / "Annotations" / "goat"
    for name in ("00000", "00003"):
        (folder / f"{name}.png").unlink()
    shutil.rmtree(source / "valid" / "Annotations" / "parkour")
    segment = Segment()
    report = dense.evaluate(
        "ref_davis17", videos(source), tmp_path / "out", segment,
        write_masks=False, progress=False,
    )  # fmt: skip
    assert [numbers for _, numbers in segment.asked] == [[2, 3]]
    assert report["scored_frames"] == 8 * 2
    assert not (tmp_path / "out" / "submission").exists()


def test_mevis_groups_and_nobody(tmp_path):
    root = video_trees.write_mevis(tmp_path / "mevis")
    found, _ = listed.read_split(root, "mevis", "valid_u", tmp_path)
    out = tmp_path / "out"
    report = dense.evaluate("mevis", found, out, Segment(), progress=False)
    rows = {row["sentence"]: row for row in rows_of(out / "sentences.csv")}
    # Nothing is there and nothing is found: J and F are 1.
    assert [rows["2"][x] for x in ("objects", "j", "f")] == [
        "", "1.000000", "1.000000",
    ]  # fmt: skip
    both = [
        metrics.region_similarity(
            probabilities("both squares", i + 1) > 0.5,
            video_trees.object_masks(i).any(axis=0),
        )
        for i in range(video_trees.FRAMES)
    ]
    assert float(rows["1"]["j"]) == pytest.approx(np.mean(both), abs=1e-6)
    assert report["j"] == pytest.approx(
        np.mean([float(row["j"]) for row in rows.values()]), abs=1e-6
    )
    assert "annotators" not in report
    names = zipfile.ZipFile(out / "submission.zip").namelist()
    assert names[:2] == ["0ab4/0/00000.png", "0ab4/0/00001.png"]
    image = cv2.imread(str(out / "submission" / names[0]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(
        image, (probabilities("the bright square", 1) > 0.5) * 255
    )


def test_an_object_that_never_appears(davis, tmp_path):
    path = davis / "meta_expressions" / "valid" / "meta_expressions.json"
    content = json.loads(path.read_text())
    (frames,) = {tuple(v["frames"]) for v in content["videos"].values()}
    video = SetVideo(
        "goat",
        frames,
        tuple(
            davis / "valid" / "JPEGImages" / "goat" / f"{x}.jpg" for x in frames
        ),
        (
            Sentence("0", "the flying one", ("3",)),
            Sentence("1", "a dog", ("3",)),
        ),
        videos(davis)[0].masks,
    )
    report = dense.evaluate("mevis", [video], tmp_path, Segment())
    rows = rows_of(tmp_path / "sentences.csv")
    assert [float(row["j"]) for row in rows] == [1, 0]
    assert report["j"] == 0.5


def test_a_split_without_objects_is_written_for_the_server(tmp_path, capsys):
    source = tmp_path / "rvos"
    frames = video_trees.names(2, step=5)
    for name in ("aa", "bb"):
        video_trees.write_frames(source / "valid" / "JPEGImages" / name, frames)
    said = {"0": {"exp": "a dog"}, "1": {"exp": "eine Katze"}}
    video_trees.write_list(
        source / "meta_expressions" / "valid" / "meta_expressions.json",
        {name: (frames, said) for name in ("aa", "bb", "cc")},
    )
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"1 listed .* first: cc: .*--skip"):
        evaluate_benchmark.evaluate("refer_youtube_vos", source, out)
    found, _ = listed.read_split(source, "refer_youtube_vos", "valid", tmp_path)
    report = dense.evaluate("refer_youtube_vos", found, out, Segment())
    assert report["j"] is report["f"] is report["j_and_f"] is None
    assert report["unscored_sentences"] == 4
    assert "no sentence could be scored" in dense_report.line(report)
    names = zipfile.ZipFile(out / "submission.zip").namelist()
    assert len(names) == 8
    assert names[3] == "Annotations/aa/1/00005.png"
    # Judged later, without what is missing.
    evaluate_benchmark.evaluate(
        "refer_youtube_vos", source, out, skip_corrupt=True
    )
    assert "left out: cc: video without its frames" in capsys.readouterr().out


def test_sentences_without_a_number_are_no_ref_davis():
    layout = mask_layouts.AnnotatorMasks()
    for objects in (None, ("1", "2"), ("dog",), ("255",)):
        with pytest.raises(UserError, match="must mean one object with a numb"):
            layout.runs([Sentence("3", "a dog", objects)])


def test_a_foreign_folder_is_left_alone(davis, tmp_path):
    (tmp_path / "metrics.json").write_text('{"made_by": "somebody"}')
    with pytest.raises(UserError, match=r"was not written by evaluate\.py"):
        evaluate_benchmark.evaluate("ref_davis17", davis, tmp_path)
    other = tmp_path / "new"
    with pytest.raises(UserError, match="no folder of masks"):
        evaluate_benchmark.evaluate("ref_davis17", davis, other)
