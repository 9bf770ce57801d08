"""evaluate.py as a user runs it, on a run and records made here."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import small_records

from keras_vas.data.records import schema
from keras_vas.data.records import shard as shard_files
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import variables
from keras_vas.models.cstm.cstm import CSTM
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory


def fabricated(video_id, split):
    """A bright square and a dark one, at a size that is no multiple of 32."""
    rng = np.random.default_rng(int(video_id))
    image = rng.integers(90, 110, (50, 70, 3), np.uint8)
    masks = np.zeros((2, 50, 70), bool)
    masks[0, 10:30, 5:25] = masks[1, 20:40, 40:60] = True
    image[masks[0]], image[masks[1]] = 255, 0
    frame = schema.AnnotatedFrame(
        dataset="fabricated",
        video_id=video_id,
        subset=split,
        frame_number=9,
        clip=[image] * 8,
        clip_frame_numbers=list(range(1, 9)),
        height=50,
        width=70,
        actors=(schema.Actor("1", masks[0]), schema.Actor("2", masks[1])),
        queries=(schema.Query("bright", 0), schema.Query("the dark one", 1)),
    )
    return shard_files.Conversion([frame])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    small_records.write(
        folder, fabricated, {"test": [str(i) for i in range(5)]}
    )
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run directory of an untrained model, as train.py leaves it."""
    run = tmp_path_factory.mktemp("run")
    vocabulary = Vocabulary(["bright", "dark", "the"])
    model = CSTM(
        vocabulary_size=len(vocabulary),
        encoders="spatial",
        cmam_stages=(5,),
        coordinate_fusion="linear",
        width=0.125,
        embedding_dim=16,
    )
    vocabulary.save(run / "vocabulary.txt")
    config = {
        "flags": {"frame_height": 64, "frame_width": 96},
        "model": model.get_config(),
    }
    (run / "config.json").write_text(json.dumps(config))
    arrays = checkpoint.read(variables.model_variables(model))
    for path in (run_directory.best_path(run), run_directory.last_path(run)):
        checkpoint.save(path, arrays, {"training_only": []})
    return run


@pytest.fixture
def evaluate(repository, data, workdir):
    """Runs evaluate.py; flags are keyword arguments."""

    def run(**flags):
        flags = {"workdir": workdir, "data": data, "batch_size": 4, **flags}
        return subprocess.run(
            [
                sys.executable,
                "evaluate.py",
                *(f"--{name}={value}" for name, value in flags.items()),
            ],
            cwd=repository,
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )

    return run


def assert_fails(finished, *words):
    assert finished.returncode == 1
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert str(word) in last
    assert "Traceback" not in finished.stderr


def test_evaluate_leaves_numbers_rows_and_pictures(evaluate, tmp_path):
    finished = evaluate(output=tmp_path / "out", split="test")
    assert finished.returncode == 0, finished.stderr
    assert "fabricated, test split: 10 samples" in finished.stdout
    assert "does not know: 5 samples" in finished.stdout
    assert "10/10" in finished.stderr
    assert "sample/s" in finished.stderr
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["samples"] == report["choice_samples"] == 10
    assert (report["height"], report["width"]) == (64, 96)
    assert report["checkpoint"] == "best"
    with open(tmp_path / "out" / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert np.mean([float(row["iou"]) for row in rows]) == pytest.approx(
        report["mean_iou"]
    )
    pictures = list((tmp_path / "out" / "pictures").iterdir())
    assert len(pictures) == 12


def test_a_corrupt_record_and_skip_corrupt(evaluate, data, tmp_path):
    (tmp_path / "records").mkdir()
    for path in data.iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".tfrecord":
            content[300] ^= 255
        (tmp_path / "records" / path.name).write_bytes(content)
    flags = {"data": tmp_path / "records", "output": tmp_path / "out"}
    assert_fails(evaluate(**flags), "test-00000-of-00001", "--skip_corrupt")
    assert not (tmp_path / "out" / "metrics.json").exists()
    finished = evaluate(
        **flags, skip_corrupt="true", which="last", height=32, width=64
    )
    assert finished.returncode == 0, finished.stderr
    assert "left out: fabricated/" in finished.stdout
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (report["samples"], report["corrupt_records"]) == (8, 1)
    assert (report["height"], report["width"]) == (32, 64)
    assert report["checkpoint"] == "last"


BAD_INPUT = """
import json, sys
from absl import flags
from keras_vas.errors import UserError
from keras_vas.programs import evaluate
messages = []
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["evaluate.py", *arguments])
    try:
        evaluate.main(["evaluate.py"])
    except UserError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""


def test_bad_input_is_a_user_error(repository, data, workdir, tmp_path):
    cases = {
        "there is no folder /nowhere": {"data": "/nowhere"},
        "/nowhere is no run": {"workdir": "/nowhere"},
        "no train split": {"split": "train"},
        "height=100": {"split": "test", "height": 100},
    }
    common = {"workdir": workdir, "data": data, "output": tmp_path / "out"}
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            BAD_INPUT,
            json.dumps(
                [
                    [f"--{k}={v}" for k, v in {**common, **case}.items()]
                    for case in cases.values()
                ]
            ),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    assert finished.returncode == 0, finished.stderr
    messages = json.loads(finished.stdout.splitlines()[-1])
    for message, words in zip(messages, cases, strict=True):
        assert words in message
    assert not (tmp_path / "out").exists()


def test_an_unknown_flag_is_one_line(evaluate, tmp_path):
    assert_fails(evaluate(output=tmp_path / "out", colour="red"), "colour")


def test_results_of_another_origin_stay(evaluate, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    assert_fails(
        evaluate(output=tmp_path), tmp_path / "metrics.json", "--output"
    )
    assert (tmp_path / "metrics.json").read_text() == "{}"
