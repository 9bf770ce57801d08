"""train.py as a program: killed, resumed, finished, and misused."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import patience
import pytest
import small_records

from keras_vas import files
from keras_vas.models import variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

FLAGS = """
# a model that a test can afford
--encoders=temporal
--cmam_stages=5
--coordinate_fusion=linear
--nodeep_supervision
--width=0.125
--decoder_channels=64
--embedding_dim=8
--train_embeddings
--frame_height=32
--frame_width=64
--batch_size=4
--epochs=4
--learning_rate=0.002
--clip_norm=1
--ema=0.9
--flip=0.5
--crop=0.2
--validation_fraction=0.2
--checkpoint_steps=3
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_records.write_drawn(
        tmp_path_factory.mktemp("records"), train=15
    )


@pytest.fixture(scope="module")
def flagfile(tmp_path_factory):
    path = tmp_path_factory.mktemp("flags") / "small.flags"
    path.write_text(FLAGS)
    return path


@pytest.fixture
def start(repository, flagfile, data):
    """Starts train.py; what still runs at the end is killed."""
    processes = []

    def start(run, *more):
        command = [
            sys.executable,
            str(repository / "train.py"),
            f"--flagfile={flagfile}",
            f"--data={data}",
            f"--workdir={run}",
            *more,
        ]
        environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def finish(process):
    output, errors = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0, errors[-3000:]
    return output


def error_of(process):
    """The one error line of a program that fails."""
    output, errors = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 1, output + errors[-2000:]
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def kill_after(process, run, step):
    """Kills the process when its last checkpoint has reached a step."""
    path = run_directory.last_path(run)
    until = time.monotonic() + patience.SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1][-3000:]
        if path.is_file() and checkpoint.load_metadata(path)["step"] >= step:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return checkpoint.load_metadata(path)["step"]
        time.sleep(0.01)
    raise AssertionError("no checkpoint appeared")


def test_killed_run_goes_on_and_ends_like_an_undisturbed_one(start, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    both = start(undisturbed), start(killed)
    stopped_at = kill_after(both[1], killed, 4)
    finish(both[0])
    output = finish(start(killed))

    whole, metadata = checkpoint.load(run_directory.last_path(undisturbed))
    assert stopped_at < metadata["step"]
    assert metadata["epoch"] == 4
    assert "finished run: 4 epochs" in output
    for path in (run_directory.last_path, run_directory.best_path):
        arrays, before = checkpoint.load(path(undisturbed))
        resumed, after = checkpoint.load(path(killed))
        assert arrays.keys() == resumed.keys()
        for name, array in arrays.items():
            np.testing.assert_allclose(
                resumed[name], array, rtol=0, atol=1e-6, err_msg=name
            )
        assert after["best"] == pytest.approx(before["best"])
        assert after["totals"] == pytest.approx(before["totals"])
    assert any(name.startswith("decoder") for name in whole)

    config = json.loads((undisturbed / "config.json").read_text())
    assert config["flags"]["learning_rate"] == 0.002
    assert config["model"]["encoders"] == "temporal"
    assert config["data_manifest"]["splits"]["train"]["videos"] == 15
    assert {"tensorflow", "keras", "python"} <= config["versions"].keys()
    assert list((undisturbed / "logs").glob("events*"))
    model, vocabulary, _ = run_directory.load_run(undisturbed)
    assert model.get_config()["vocabulary_size"] == len(vocabulary)
    best, _ = checkpoint.load(run_directory.best_path(undisturbed))
    assert set(variables.model_variables(model)) == set(best)

    again, other = start(killed), start(killed, "--learning_rate=0.1")
    assert "finished run: 4 epochs" in finish(again)
    assert "--learning_rate=0.1 (was 0.002)" in error_of(other)


def test_bad_input_is_one_line(start, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    wanted = {
        "thesis.txt": start(foreign),
        "multiples of 32": start(tmp_path / "a", "--frame_height=50"),
        "must be 0 to 4294967295": start(tmp_path / "s", f"--seed={10**20}"),
        "no_such_flag": start(tmp_path / "b", "--no_such_flag=1"),
        "no folder": start(tmp_path / "c", "--data=/nowhere/at/all"),
    }
    for what, process in wanted.items():
        assert what in error_of(process)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign"]
    assert (foreign / "thesis.txt").read_text() == "mine"


def test_two_trainings_do_not_share_a_run(start, tmp_path):
    with files.lock(tmp_path / "run"):
        line = error_of(start(tmp_path / "run"))
    assert "another process is writing to" in line
    assert not list((tmp_path / "run").iterdir())
