"""What all tests share: a quiet backend and the optional real data."""

import os
import pathlib

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository():
    """The folder that holds train.py, configs/ and tfrecords/."""
    return ROOT


@pytest.fixture(scope="session")
def shared_dir():
    """Real data beside the repository; a test that needs it skips without."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared folder with real data")
    return folder
