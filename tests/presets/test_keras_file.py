"""Files of export.py that come from anyone."""

import io
import json
import resource
import zipfile

import h5py
import keras
import numpy as np
import pytest
import small_run

from keras_vas import CSTM
from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.models import variables
from keras_vas.presets import keras_file

WEIGHTS = "model.weights.h5"


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Dict of the members of a whole file to their bytes."""
    folder = tmp_path_factory.mktemp("keras_file")
    run = small_run.make(folder / "run")
    path = saved_model.keras_file(run, folder / "model.keras")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, packing=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def assert_refused(path, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=message) as caught:
        keras_file.load(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000  # KiB
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def counted(make):
    model, numbers = variables.make_within(make, most=-1)
    assert model is None
    return numbers


def test_numbers_are_counted_without_memory():
    arguments = {"width": 0.0625, "vocabulary_size": 9, "encoders": "temporal"}
    model = CSTM(**arguments)
    numbers = counted(lambda: CSTM(**arguments))
    assert numbers == sum(np.prod(v.shape) for v in model.weights)
    large = counted(
        lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(10**9)])
    )
    assert large == 4 * 10**9
    assert counted(lambda: CSTM(width=1000.0)) > 10**14


def test_a_model_within_bounds_is_like_one_made_without():
    def make():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, numbers = variables.make_within(make, most=16)
    finally:
        keras.config.set_dtype_policy(before)
    assert numbers == 16
    assert model.layers[0].compute_dtype == "bfloat16"
    kernel, bias = (np.array(w) for w in model.weights)
    assert kernel.std() > 0
    assert not bias.any()
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        np.array(model(x), np.float32), x @ kernel + bias, atol=0.05
    )


def changed_model(members, change):
    described = json.loads(members["config.json"])
    change(described)
    return members | {"config.json": json.dumps(described).encode()}


def dense(described):
    layers = [
        {
            "module": "keras.layers",
            "class_name": "Dense",
            "config": {"units": 10**9},
            "registered_name": None,
        }
    ]
    described.clear()
    described.update(
        {
            "module": "keras",
            "class_name": "Sequential",
            "config": {"name": "x", "layers": layers},
            "registered_name": "Sequential",
            "build_config": {"input_shape": [None, 10]},
        }
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dense, "it describes no keras_vas>CSTM"),
        (
            lambda x: x["config"].update(embedding_dim=10**9),
            r"a model of [\d,]{13,} numbers and holds",
        ),
        (
            lambda x: x["config"].update(width=1000.0),
            r"a model of [\d,]{13,} numbers and holds",
        ),
        (lambda x: x["config"].update(encoders="none"), "encoders must be"),
        (lambda x: x["config"].update(more=1), "unexpected keyword"),
        (lambda x: x.pop("config"), "KeyError"),
    ],
)
def test_models_that_the_file_does_not_hold(change, message, members, tmp_path):
    path = write(tmp_path / "x.keras", changed_model(members, change))
    assert_refused(path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flags": {"frame_height": 10**6, "frame_width": 64}}, "frame_height"),
        ({"flags": {}}, "KeyError"),
        ({"architecture": "other"}, "model must be one of"),
    ],
)
def test_configurations_that_no_run_has(change, message, members, tmp_path):
    config = json.loads(members["keras_vas/config.json"]) | change
    text = json.dumps(config).encode()
    members = members | {"keras_vas/config.json": text}
    assert_refused(write(tmp_path / "x.keras", members), message)


def test_members_that_are_large_foreign_or_missing(members, tmp_path):
    path = tmp_path / "x.keras"
    large = members | {"keras_vas/vocabulary.txt": bytes(1 << 26)}
    write(path, large, zipfile.ZIP_DEFLATED)
    assert_refused(path, "content of .* bytes is more than")
    write(path, members | {"assets/x": b""})
    assert_refused(path, "it holds .*assets/x")
    for name in members:
        write(path, {k: v for k, v in members.items() if k != name})
        assert_refused(path, "no whole .keras file")


def test_weights_that_would_take_memory(members, tmp_path):
    file = io.BytesIO(members[WEIGHTS])
    with h5py.File(file, "a") as weights:
        weights.create_dataset("layers/large", (1 << 38,), "f4")
    changed = members | {WEIGHTS: file.getvalue()}
    path = write(tmp_path / "x.keras", changed)
    assert_refused(path, "1,099,5.* bytes is more than")


def test_flipped_bits_load_or_are_one_line(members, tmp_path):
    whole = write(tmp_path / "whole.keras", members).read_bytes()
    path = tmp_path / "x.keras"
    rng = np.random.default_rng(0)
    said = []
    for _ in range(20):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            keras_file.load(path)
        except UserError as error:
            said.append(str(error))
    assert len(said) >= 15
    assert "\n" not in "".join(said)
