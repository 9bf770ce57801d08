"""The running page, and a video, for all tests of a process."""

import importlib.util

import page_visitor
import pytest
import small_run


@pytest.fixture(scope="session")
def server(repository, tmp_path_factory):
    """The program, with a model that finds something everywhere."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("no Gradio: pip install 'keras_vas[app]'")
    server = page_visitor.Server(
        repository,
        tmp_path_factory.mktemp("temporary"),
        model=small_run.make(tmp_path_factory.mktemp("run")),
        runtime="tensorflow",
        max_megabytes=1,
        max_seconds=2,
    )
    yield server
    server.stop()


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """Eight frames of a bright square that moves."""
    path = tmp_path_factory.mktemp("video") / "square.mp4"
    return page_visitor.write_video(path, frames=8)
