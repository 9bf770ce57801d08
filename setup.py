"""Installs the package keras_vas; the programs run from a checkout."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "keras_vas/__init__.py").read_text()
).group(1)

setup(
    name="keras_vas",
    version=VERSION,
    description="Language-queried video actor segmentation in Keras (CSTM)",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_vas", "keras_vas.*"]),
    package_data={"keras_vas": ["**/*.npz", "**/WORDNET_LICENSE"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "absl-py>=2.1",
        "av>=16,<19",
        "docstring-parser>=0.16,<1",
        "google-crc32c>=1.5,<2",
        "h5py>=3.11",
        # 3.13 lacks the guards of 3.12.4 against zip and npz bombs; 3.14.0 to
        # 3.15.1, which have them, raise OperatorNotAllowedInGraphError in a
        # resize to a symbolic size inside any tf.function.
        "keras>=3.12.4,<3.13",
        "numpy>=2.0,<3",
        "opencv-python-headless>=5,<6",
        "pillow>=10",
        "platformdirs>=4.2,<5",
        "protobuf>=6.31,<8",
        "pycocotools>=2.0.8",
        "setuptools<82",  # tensorflow-hub imports pkg_resources
        "tensorboard>=2.21,<2.22",
        "tensorflow>=2.21,<2.22",
        "tensorflow-hub>=0.16.1,<0.17",
        "tqdm>=4.66",
        "urllib3>=2.2,<3",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "serving": [
            "fastapi>=0.115,<1",
            "msgspec>=0.19,<1",
            "orjson>=3.10,<4",
            "tensorflow-serving-api>=2.21,<2.22",
            "uvicorn>=0.32,<1",
        ],
        "app": ["gradio>=6.31,<7"],
        "notebook": ["nbclient>=0.10,<0.12", "ipykernel>=6.29,<8"],
        "benchmarks": ["matplotlib>=3.9,<4"],
        "test": [
            "gradio>=6.31,<7",
            "ipykernel>=6.29,<8",
            "jax>=0.7,<0.11",
            "matplotlib>=3.9,<4",
            "msgspec>=0.19,<1",
            "nbclient>=0.10,<0.12",
            "playwright>=1.60,<2",
            "pytest>=8",
            "pytest-xdist>=3.6,<4",
            "scipy>=1.13",
            "tensorflow-serving-api>=2.21,<2.22",
        ],
        "lint": ["ruff==0.17.6"],
    },
)
