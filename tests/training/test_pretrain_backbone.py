"""A backbone that has learned classes begins a training."""

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


def test_a_backbone_taught_by_classes_begins_a_training(repository, tmp_path):
    """All its arrays arrive in the network of the same width."""
    done = subprocess.run(
        [
            sys.executable, "-m", "keras_vas.training.pretrain_backbone",
            "--backbone=resnet50", "--width=0.0625", "--steps=2",
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
            vocabulary_size=9,
            encoders="spatial",
            width=width,
            cmam_stages=(),
            spatial_backbone="resnet50",
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
