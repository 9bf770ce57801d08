"""Two devices, or two worker processes, train like one."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import patience
import pytest

from keras_vas import CSTM
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory


def start(repository, run, devices, cluster=None, index=0):
    environment = dict(os.environ, PYTHONPATH=str(repository))
    environment.pop("TF_CONFIG", None)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": cluster}, "task": task}
        )
    script = repository / "tests/helpers/train_small_model.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(run), str(devices)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, errors = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def one_device(repository, tmp_path_factory):
    run = tmp_path_factory.mktemp("one")
    return finish(start(repository, run, 1)), run


def assert_same_run(run, report, other_run, other_report):
    for path in (run_directory.last_path, run_directory.best_path):
        arrays, metadata = checkpoint.load(path(run))
        others, other_metadata = checkpoint.load(path(other_run))
        assert arrays.keys() == others.keys()
        assert len(arrays) > 10
        for name, array in arrays.items():
            np.testing.assert_allclose(
                array, others[name], rtol=0, atol=1e-5, err_msg=name
            )
        assert metadata["step"] == other_metadata["step"]
    best, other = report["best"], other_report["best"]
    assert best.keys() == other.keys()
    for name, value in best.items():
        assert value == pytest.approx(other[name], abs=1e-5)


def test_two_devices_equal_one(repository, tmp_path, one_device):
    report, run = one_device
    two = finish(start(repository, tmp_path, 2))
    assert (report["replicas"], two["replicas"]) == (1, 2)
    assert_same_run(run, report, tmp_path, two)


def test_two_workers_equal_one(repository, tmp_path, one_device):
    report, run = one_device
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = [
        start(repository, tmp_path, 1, cluster, index) for index in range(2)
    ]
    chief, other = (finish(worker) for worker in workers)
    assert (chief["replicas"], other["replicas"]) == (2, 2)
    assert (chief["chief"], other["chief"]) == (True, False)
    assert chief["best"] == other["best"]
    assert_same_run(run, report, tmp_path, chief)


def test_every_batch_normalization_of_cstm_can_be_synchronized():
    model = CSTM(
        vocabulary_size=9,
        width=0.125,
        deep_supervision=True,
        synchronized=True,
    )
    found = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(found) > 150
    assert all(layer.synchronized for layer in found)
