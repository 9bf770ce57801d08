"""What all tests share: a quiet backend and the optional real data."""

import os
import pathlib

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Tests that start programs, train, or compile whole networks.
SLOW = frozenset(
    {
        "test_ablations", "test_app", "test_backbones", "test_distribution",
        "test_documented_commands", "test_packaging", "test_site",
        "test_evaluate", "test_evaluation", "test_export", "test_models",
        "test_name_lesson", "test_notebook", "test_openvino",
        "test_optimization", "test_page", "test_prediction", "test_pretrain_backbone", "test_registry",
        "test_segment", "test_sentence_split", "test_serving_client",
        "test_serving_contract", "test_serving_grpc", "test_serving_server",
        "test_show_moving_actors", "test_train", "test_train_jax",
        "test_training", "test_weights_proofs",
    }
)  # fmt: skip
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


def pytest_collection_modifyitems(items):
    """Marks the tests of `SLOW` modules, which `make test-fast` leaves out."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
