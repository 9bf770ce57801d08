"""Runs benchmarks/train_jax.py where TensorFlow cannot be imported."""

import os
import pathlib
import runpy
import sys

sys.modules["tensorflow"] = None  # any import of it raises ImportError
os.environ["KERAS_BACKEND"] = "jax"

import plain_backbones  # noqa: E402

plain_backbones.register()
benchmarks = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(benchmarks))
runpy.run_path(str(benchmarks / "train_jax.py"), run_name="__main__")
