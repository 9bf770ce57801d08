"""What all tests share: a quiet backend and the optional real data."""

import os
import pathlib

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Beside other test processes a second thread only gets in their way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Tests that start programs, train, or compile whole networks.
SLOW = frozenset(
    {
        "test_ablations", "test_about", "test_addresses", "test_app",
        "test_archive_cluster", "test_archive_program",
        "test_backbones", "test_compared_layers", "test_compared_models",
        "test_cstm_authors", "test_runtime_cases",
        "test_weights",
        "test_build_vocabulary", "test_distribution",
        "test_documented_commands", "test_packaging", "test_site",
        "test_evaluate", "test_evaluate_benchmark", "test_evaluation",
        "test_export", "test_help",
        "test_models",
        "test_name_lesson", "test_names_weight", "test_notebook",
        "test_openvino", "test_quantization",
        "test_optimization", "test_page",
        "test_prediction", "test_presets", "test_pretrain_backbone",
        "test_readers", "test_registry",
        "test_segment", "test_sentence_split", "test_serving_client",
        "test_serving_contract", "test_serving_grpc", "test_serving_server",
        "test_show_moving_actors", "test_train", "test_train_jax",
        "test_training", "test_weights_proofs",
    }
)  # fmt: skip
# Tests that share what takes long to make: one process has all of a module,
# and begins with them, so that the others even out what is left.
TOGETHER = frozenset(
    {
        "test_archive_cluster", "test_archive_program",
        "test_browser", "test_server", "test_export", "test_notebook",
        "test_openvino", "test_quantization",
        "test_train_jax", "test_evaluation", "test_evaluate",
        "test_evaluate_benchmark",
        "test_prediction", "test_segment", "test_serving_contract",
        "test_serving_grpc", "test_serving_server", "test_serving_client",
        "test_help", "test_packaging", "test_documented_commands",
        "test_build_vocabulary", "test_name_lesson", "test_weights_proofs",
        "test_presets",
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
    """Marks the tests of `SLOW` and `TOGETHER`, and puts the latter first."""
    for item in items:
        name = item.path.stem
        if name in SLOW:
            item.add_marker(pytest.mark.slow)
        if name in TOGETHER and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.path.stem not in TOGETHER)
