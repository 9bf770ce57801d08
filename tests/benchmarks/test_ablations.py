"""The rows of the ablations, their tables, and what they begin with."""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_vas import CSTM
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import initialisation


@pytest.fixture
def tables(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("ablation_tables")


def own_flags(repository, row):
    """What a flagfile adds to common.flags."""
    path = repository / "configs" / "ablations" / f"{row}.flags"
    lines = [x for x in path.read_text().splitlines() if x[:1] != "#"]
    assert lines[0] == "--flagfile=configs/ablations/common.flags"
    return dict(line[2:].split("=", 1) for line in lines[1:])


def test_every_row_of_table_3_is_there_and_nothing_else(repository, tables):
    folder = repository / "configs" / "ablations"
    files = {path.stem for path in folder.glob("*.flags")} - {"common"}
    rows = {row.name for table in tables.TABLES for row in table.rows}
    assert rows == files
    lengths = {table.key: len(table.rows) for table in tables.TABLES}
    assert [lengths[key] for key in ("3a", "3b", "3c", "3d")] == [5, 3, 5, 4]
    found = [
        own_flags(repository, row.name).get("cmam_stages", "1,2,3,4,5")
        for row in {t.key: t for t in tables.TABLES}["3c"].rows
    ]
    assert found == ["5", "4,5", "3,4,5", "2,3,4,5", "1,2,3,4,5"]


def test_rows_differ_in_what_they_are_about(repository, tables):
    rows = {row.name for table in tables.TABLES for row in table.rows}
    own = {row: own_flags(repository, row) for row in rows}
    assert own["full"] == {}
    assert own["spatial"] == {"encoders": "spatial", "cmam_stages": ""}
    assert own["lgfs"] == {"fusion": "lgfs", "cmam_stages": ""}
    assert own["resnet50_s3d"] == {
        "spatial_backbone": "resnet50",
        "temporal_backbone": "s3d",
    }
    assert len({json.dumps(value) for value in own.values()}) == len(rows)


def test_train_accepts_every_flagfile(repository):
    program = (
        "import sys; from absl import flags; import train\n"
        "from keras_vas import CSTM\n"
        "train.define_flags(CSTM)\n"
        "for path in sys.argv[1:]:\n"
        "    flags.FLAGS.unparse_flags()\n"
        "    left = flags.FLAGS(['train', '--data=a', '--workdir=b',"
        " f'--flagfile={path}'])\n"
        "    assert left == ['train'], left\n"
        "    print(path, flags.FLAGS.freeze)\n"
    )
    files = sorted(
        str(path.relative_to(repository))
        for path in (repository / "configs").rglob("*.flags")
        if path.name != "common.flags"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *files],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(files) > 20
    assert "configs/ablations/full.flags backbones" in done.stdout


def metrics(value):
    return {
        "lookalike_choice_accuracy": value,
        "choice_accuracy": None,
        "mean_iou_chosen": value / 2,
        "precision_at": {"0.5": 0.25, "0.9": 0.125},
        "ap": 0.5,
        "overall_iou": 0.75,
        "mean_iou": value,
    }


def test_tables_hold_mean_spread_and_the_paper(tables, tmp_path):
    results = {"add": [metrics(0.5), metrics(0.9)], "max": [metrics(0.25)]}
    text = tables.write(tmp_path, results)
    assert (tmp_path / "ablations.md").read_text() == text
    assert (tmp_path / "ablations.png").read_bytes()[1:4] == b"PNG"
    (line,) = [x for x in text.splitlines() if x.startswith("| max |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:] == [
        "25.0", "-", "12.5", "25.0", "12.5", "50.0", "75.0", "25.0",
        "34.8", "62.6", "51.6", "1",
    ]  # fmt: skip
    assert "| add | 70.0 (40.0) |" in text
    assert "### 3b" in text
    assert "### 3d" not in text


def test_a_backbone_taught_by_classes_begins_a_training(repository, tmp_path):
    """All its arrays arrive in the network of the same width."""
    done = subprocess.run(
        [
            sys.executable, "benchmarks/pretrain_backbone.py",
            "--backbone=inception_v3", "--width=0.0625", "--steps=2",
            "--clips=4", "--held_out=2", "--batch_size=2",
            f"--output={tmp_path}",
        ],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "right class at" in done.stdout
    arrays, told = checkpoint.load(run_directory.best_path(tmp_path))
    assert 0 <= told["actor_accuracy"] <= 1

    def network(width):
        return CSTM(
            vocabulary_size=9, encoders="spatial", width=width, cmam_stages=()
        )

    model = network(0.0625)
    assert initialisation.assign_backbone(model, "spatial", tmp_path) == len(
        arrays
    )
    found = variables.model_variables(model)
    for path, array in arrays.items():
        np.testing.assert_array_equal(found[path].numpy(), array)
    with pytest.raises(UserError, match="of other shape"):
        initialisation.assign_backbone(network(0.125), "spatial", tmp_path)
