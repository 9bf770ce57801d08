"""Run by test_models.py in a process of its own, on Keras' JAX backend."""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np

import keras_vas


def main(folder):
    """Rebuilds the model saved in `folder` and writes what it predicts."""
    if "tensorflow" in sys.modules:
        raise RuntimeError("keras_vas imported tensorflow by itself")
    with open(f"{folder}/config.json") as file:
        model = keras_vas.CSTM.from_config(json.load(file))
    with np.load(f"{folder}/weights.npz") as weights:
        for variable in model.weights:
            variable.assign(weights[variable.path])
    with np.load(f"{folder}/inputs.npz") as inputs:
        outputs = jax.jit(model)(dict(inputs))
    np.savez(
        f"{folder}/outputs.npz",
        **{name: np.asarray(value) for name, value in outputs.items()},
    )


if __name__ == "__main__":
    main(sys.argv[1])
