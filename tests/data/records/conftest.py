"""A small data set on disk, and copies of it."""

import shutil

import pytest
from written_records import write


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Records that no test changes."""
    folder = tmp_path_factory.mktemp("records")
    write(folder)
    return folder


@pytest.fixture
def copy(dataset, tmp_path):
    """Records that a test may damage."""
    return shutil.copytree(dataset, tmp_path / "copy")
