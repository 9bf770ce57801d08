"""The simulation against what queues of fixed times must take."""

import importlib.util

import numpy as np
import pytest


@pytest.fixture
def scale(repository):
    path = repository / "benchmarks" / "archive_scale.py"
    spec = importlib.util.spec_from_file_location("archive_scale", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("archive", "videos", "workers", "faster", "driver_ms",
                 "start_seconds"):  # fmt: skip
        delattr(module.flags.FLAGS, name)


@pytest.mark.parametrize(
    ("workers", "hours"),
    [(1, 1000 * (2 + 0.1)), (10, 100 * (2 + 0.1)), (100, 1000 * 0.1 + 2)],
)
def test_fixed_times(scale, workers, hours):
    ended, busy = scale.simulate(np.array([2.0]), 1000, workers, 0.1, 0.0)
    # The driver is full at 21 workers.
    assert ended == pytest.approx(hours, rel=0.02)
    assert busy == pytest.approx(2000 / (ended * workers))
