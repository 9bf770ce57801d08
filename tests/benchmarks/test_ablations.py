"""The rows of the ablations, their tables, and what they begin with."""

import importlib
import json
import subprocess
import sys

import pytest

from keras_vas.models import registry


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


def test_every_system_of_table_1_is_there(repository, tables):
    folder = repository / "configs" / "compared"
    files = {path.stem for path in folder.glob("*.flags")} - {"common"}
    systems = set(registry.MODELS) - {"cstm_authors"}
    assert {row.name for row in tables.COMPARED.rows} == files == systems
    for path in folder.glob("*.flags"):
        if path.stem != "common":
            assert f"--model={path.stem}\n" in path.read_text()


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
        "import sys; from absl import flags\n"
        "from keras_vas.programs import train\n"
        "train.define_flags()\n"
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
        if path.name != "common.flags" and path.parent.name != "compared"
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
        "precision_at": {"0.5": 0.25, "0.7": 0.2, "0.9": 0.125},
        "multiply_adds": 1.5e9,
        "samples_per_second": 8,
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
        "25.0", "-", "12.5", "25.0", "20.0", "12.5", "50.0", "75.0", "25.0",
        "1.50", "0.125", "34.8", "62.6", "51.6", "1",
    ]  # fmt: skip
    assert "| add | 70.0 (40.0) |" in text
    assert "### 3b" in text
    assert "### 3d" not in text
