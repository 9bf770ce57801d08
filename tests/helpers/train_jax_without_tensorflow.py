"""Trains on JAX where TensorFlow cannot be imported."""

import os
import runpy
import sys

sys.modules["tensorflow"] = None  # any import of it raises ImportError
os.environ["KERAS_BACKEND"] = "jax"

import plain_backbones  # noqa: E402

plain_backbones.register()
runpy.run_module("keras_vas.training.on_jax.train", run_name="__main__")
