"""evaluate.py --benchmark with a model: small trees, records, real frames."""

import collections
import csv
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import real_davis
import small_run
import video_trees

from keras_vas.data import records
from keras_vas.data.records import fingerprint
from keras_vas.data.video_sets import conversion, listed
from keras_vas.evaluation import protocol, record_videos
from keras_vas.prediction import predictor as prediction_predictor
from keras_vas.programs import evaluate_benchmark
from keras_vas.runs import run as run_directory


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return small_run.make(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Ref-DAVIS17 of noise, in which an untrained model finds something."""
    root = tmp_path_factory.mktemp("davis")
    video_trees.write_davis(root, ["parkour"])
    folder = root / "valid" / "JPEGImages" / "parkour"
    rng = np.random.default_rng(0)
    for path in folder.iterdir():
        shape = video_trees.HEIGHT, video_trees.WIDTH, 3
        path.unlink()
        noise = rng.integers(0, 256, shape, np.uint8)
        cv2.imwrite(str(path.with_suffix(".png")), noise)
    return root


def metrics_of(out):
    return json.loads((out / "metrics.json").read_text())


def means(path, group, column):
    """Dict from the values of a column of a table to the mean of another."""
    found = collections.defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row[group]].append(float(row[column]))
    return {key: np.mean(values) for key, values in found.items()}


def test_records_by_two_protocols(workdir, source, tmp_path, monkeypatch):
    """Mean J of clips equals the mean IoU of the protocol of the paper."""
    videos, _ = listed.read_split(source, "ref_davis17", "valid", tmp_path)
    data = tmp_path / "records"
    records.write_dataset(
        data,
        "a2d_sentences",
        {"test": ["parkour"]},
        lambda name, split: conversion.convert(
            name, split, dataset="a2d_sentences",
            videos={"parkour": videos[0]}, most=3,
        ),
        workers=1,
        shards={"test": 1},
        source_fingerprint=fingerprint.of_files(tmp_path, []),
        progress=False,
    )  # fmt: skip
    seen = []
    stream = prediction_predictor.Predictor.stream

    def noted(self, video, texts, *, numbers):
        seen.append((texts, sorted(numbers), [x.number for x in video]))
        return stream(self, video, texts, numbers=numbers)

    monkeypatch.setattr(prediction_predictor.Predictor, "stream", noted)
    evaluate_benchmark.evaluate("a2d", data, tmp_path / "a", model=workdir)
    dense = metrics_of(tmp_path / "a")
    # Six sentences together; frames of three clips, each of them once.
    ((texts, numbers, frames),) = seen
    assert len(texts) == 6
    assert numbers == [3, 7, 11]
    assert frames == [1, 3, 5, 7, 9, 11, 12]
    model, vocabulary, _ = run_directory.load_run(workdir, "best")
    index = records.read_index(data, "test")
    report = protocol.evaluate(
        model, vocabulary, index, tmp_path / "b",
        height=small_run.HEIGHT, width=small_run.WIDTH, progress=False,
    )  # fmt: skip
    assert report["samples"] == dense["scored_frames"] == 18
    # A pixel at 0.5 may fall on either side: the sums' order differs.
    assert dense["j"] == pytest.approx(report["mean_iou"], abs=1e-3)
    one = means(tmp_path / "a" / "sentences.csv", "text", "j")
    other = means(tmp_path / "b" / "samples.csv", "query", "iou")
    assert one == pytest.approx(other, abs=4e-3)
    assert max(one.values()) - min(one.values()) > 0.01
    assert (tmp_path / "a" / "submission" / "parkour" / "0").is_dir()
    (video,) = record_videos.of_records(index)
    assert np.abs(video.image(0) - 1.0 * videos[0].image(2)).mean() < 20


def test_real_sentences_on_real_frames(workdir, shared_dir, tmp_path):
    """Ref-DAVIS17's sentences about the goat, on two frames of its clip."""
    tree, out = tmp_path / "davis", tmp_path / "out"
    assert real_davis.write(tree, shared_dir, ["goat"], around=1) == {"goat": 1}
    evaluate_benchmark.evaluate("ref_davis17", tree, out, model=workdir)
    report = metrics_of(out)
    assert report["sentences"] == 4
    assert report["frames"] == 3
    assert report["scored_frames"] == 4
    assert len(report["annotators"]) == 4
    assert report["j"] < 0.9
    # The truth, handed in as masks of two annotators, is right.
    (true,) = (tree / "valid" / "Annotations" / "goat").iterdir()
    for run in (0, 2):
        shutil.copy(true, out / "submission" / f"anno_{run}" / "goat")
    evaluate_benchmark.evaluate("ref_davis17", tree, out)
    runs = metrics_of(out)["annotators"]
    assert [run["j_and_f"] for run in runs] == [
        1, report["annotators"][1]["j_and_f"],
        1, report["annotators"][3]["j_and_f"],
    ]  # fmt: skip
    assert "a goat walking on rocks" in (out / "sentences.csv").read_text()


def test_the_program_says_what_is_wrong(repository, tmp_path):
    done = subprocess.run(
        [sys.executable, repository / "evaluate.py", "--output=x", "--data=x",
         "--benchmark=mevis"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --workdir is need")
