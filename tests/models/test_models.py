"""The graphs of CSTM: shapes, choices, saving, backends, cost."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vas
from keras_vas import backbones
from keras_vas.models import summary

NARROW = {
    "width": 0.125,
    "vocabulary_size": 30,
    "embedding_dim": 16,
    "decoder_channels": 64,
    "text_channels": 64,
}


def make_inputs(batch=2, height=32, width=64, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "frames": generator.integers(
            0, 256, (batch, 8, height, width, 3), "uint8"
        ),
        "tokens": np.array([[3, 4, 5, 0], [7, 0, 0, 0]], "int32")[:batch],
    }


def randomize(model, seed=0):
    """Weights that make masks differ and batch statistics count."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "moving" in variable.path or variable.path.endswith("bias"):
            value = generator.uniform(0.5, 1.5, variable.shape)
            variable.assign(value)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras_vas.CSTM(**NARROW)


def test_masks_have_the_size_of_the_frames(model):
    for height, width in ((32, 64), (96, 32)):
        outputs = model(make_inputs(height=height, width=width))
        assert set(outputs) == {"mask_logits"}
        assert outputs["mask_logits"].shape == (2, height, width, 1)


def test_stages_have_the_strides_and_channels_of_the_specification():
    frames = keras.Input((8, 64, 96, 3))
    checked = 0
    for backbone_class, x, times in (
        (backbones.SPATIAL_BACKBONES["inception_v3"], frames[:, 4], None),
        (backbones.TEMPORAL_BACKBONES["i3d"], frames, (4, 4, 4, 2, 1)),
    ):
        backbone = backbone_class()
        x = backbone.preprocess(x)
        for stage in backbones.STAGES:
            x = backbone.stage(stage, x)
            expected = (
                64 // 2**stage,
                96 // 2**stage,
                backbone.channels[stage - 1],
            )
            if times:
                expected = (times[stage - 1], *expected)
            assert x.shape[1:] == expected
            checked += 1
    assert checked == 10


def test_i3d_has_the_published_parameters():
    frames = keras.Input((8, 64, 64, 3))
    backbone = backbones.TEMPORAL_BACKBONES["i3d"]()
    x = backbone.preprocess(frames)
    for stage in backbones.STAGES:
        x = backbone.stage(stage, x)
    network = keras.Model(frames, x)
    logits = 1024 * 400 + 400
    assert network.count_params() + logits == 12_704_544
    # Each of the 57 convolutions has a kernel, beta, mean and variance, and
    # the head of the published network a kernel and a bias.
    assert len(network.variables) + 2 == 230


def test_frames_must_be_divisible_by_32(model):
    with pytest.raises(ValueError, match="multiples of 32"):
        model(make_inputs(height=48))


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoders": "spatial"},
        {"encoders": "temporal"},
        {"fusion": "add"},
        {"fusion": "max"},
        {"cmam_stages": ()},
        {"cmam_stages": (5, 4)},
        {"coordinate_fusion": "linear", "gate": "centred"},
    ],
    ids=str,
)
def test_every_choice_of_table_3_draws_a_mask(arguments):
    model = keras_vas.CSTM(**NARROW, **arguments)
    outputs = model(make_inputs())
    assert outputs["mask_logits"].shape == (2, 32, 64, 1)
    assert np.isfinite(outputs["mask_logits"]).all()
    names = {layer.name for layer in model.layers}
    stages = arguments.get("cmam_stages", (1, 2, 3, 4, 5))
    encoders = {
        "spatial": ["spatial"],
        "temporal": ["temporal"],
    }.get(arguments.get("encoders"), ["spatial", "temporal"])
    assert {name for name in names if "_cmam_" in name} == {
        f"{encoder}_cmam_{stage}" for encoder in encoders for stage in stages
    }
    lgfs = {name for name in names if name.startswith("decoder_lgfs")}
    wanted = len(encoders) == 2 and "fusion" not in arguments
    assert len(lgfs) == (5 if wanted else 0)


def test_the_sentence_changes_the_mask_with_and_without_cmam(model):
    checked = 0
    for network in (model, keras_vas.CSTM(**NARROW, cmam_stages=())):
        inputs = make_inputs(batch=1)
        first = network(inputs)["mask_logits"]
        other = {**inputs, "tokens": np.array([[9, 8, 7, 0]], "int32")}
        assert not np.allclose(first, network(other)["mask_logits"])
        longer = {**inputs, "tokens": np.array([[3, 4, 5, 0, 0, 0]], "int32")}
        np.testing.assert_allclose(
            first, network(longer)["mask_logits"], atol=1e-6
        )
        checked += 1
    assert checked == 2


def test_an_empty_sentence_gives_a_finite_mask(model):
    inputs = {**make_inputs(), "tokens": np.zeros((2, 4), "int32")}
    assert np.isfinite(model(inputs)["mask_logits"]).all()


def test_training_heads_and_attention_exist_only_when_asked_for(model):
    names = {layer.name for layer in model.layers}
    assert "decoder_head_1_logits" in names
    assert not {name for name in names if name.startswith("decoder_head_2")}
    rich = keras_vas.CSTM(**NARROW, deep_supervision=True, attention_maps=True)
    outputs = rich(make_inputs())
    for stage in (2, 3, 4, 5):
        assert outputs[f"mask_logits_p{stage}"].shape == (
            2,
            32 // 2**stage,
            64 // 2**stage,
            1,
        )
    for stage, time in zip((1, 2, 3, 4, 5), (4, 4, 4, 2, 1), strict=True):
        size = (32 // 2**stage, 64 // 2**stage)
        spatial = outputs[f"attention_spatial_{stage}"]
        temporal = outputs[f"attention_temporal_{stage}"]
        assert spatial.shape == (2, 4, *size)
        assert temporal.shape == (2, 4, time, *size)
    assert len(outputs) == 5 + 10
    for variable in model.weights:
        source = next(v for v in rich.weights if v.path == variable.path)
        variable.assign(source)
    np.testing.assert_allclose(
        model(make_inputs())["mask_logits"], outputs["mask_logits"], atol=1e-5
    )


def test_variable_paths_are_unique_and_say_where_they_belong(model):
    paths = [variable.path for variable in model.weights]
    assert len(set(paths)) == len(paths)
    prefixes = ("spatial_", "temporal_", "decoder_", "word_embedding")
    assert all(path.startswith(prefixes) for path in paths)


def test_save_load_and_config(model, tmp_path):
    again = keras_vas.CSTM.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.path for v in again.weights] == [v.path for v in model.weights]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, keras_vas.CSTM)
    inputs = make_inputs()
    np.testing.assert_array_equal(
        loaded(inputs)["mask_logits"], model(inputs)["mask_logits"]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoders": "neither"},
        {"spatial_backbone": "vgg"},
        {"temporal_backbone": "vgg"},
        {"fusion": "product"},
        {"cmam_stages": (0, 6)},
    ],
    ids=str,
)
def test_wrong_choices_are_named(arguments):
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=f"Received: {name}="):
        keras_vas.CSTM(**NARROW, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"deep_supervision": True, "attention_maps": True},
        {
            "coordinate_fusion": "linear",
            "gate": "centred",
            "cmam_stages": (4, 5),
        },
    ],
    ids=["conv", "linear"],
)
def test_jax_predicts_what_tensorflow_predicts(tmp_path, arguments):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compares the TensorFlow backend with JAX")
    pytest.importorskip("jax")
    model = keras_vas.CSTM(**NARROW, **arguments)
    randomize(model)
    inputs = make_inputs()
    (tmp_path / "config.json").write_text(json.dumps(model.get_config()))
    np.savez(
        tmp_path / "weights.npz",
        **{v.path: np.asarray(v) for v in model.weights},
    )
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = pathlib.Path(__file__).parents[1] / "helpers/jax_masks.py"
    subprocess.run(
        [sys.executable, script, tmp_path],
        check=True,
        env={
            **os.environ,
            # Quick to compile rather than to run.
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        },
    )
    expected = model(inputs)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            scale = max(1.0, float(np.abs(value).max()))
            np.testing.assert_allclose(
                outputs[name], value, atol=1e-4 * scale, err_msg=name
            )


def test_cost_agrees_with_table_4():
    paper = keras_vas.CSTM(coordinate_fusion="conv", deep_supervision=True)
    costs = summary.count(paper, 320, 320, literal=True)
    spatial = summary.multiply_adds(costs, "spatial")
    assert spatial == pytest.approx(19.54e9, rel=0.03)
    assert summary.multiply_adds(costs) == pytest.approx(213.06e9, rel=0.03)
    assert costs["spatial backbone"].multiply_adds == pytest.approx(
        7.75e9, rel=0.01
    )
    assert costs["temporal backbone"].multiply_adds == pytest.approx(
        28.35e9, rel=0.01
    )


def test_linear_inference_needs_under_90_g():
    model = keras_vas.CSTM(coordinate_fusion="linear")
    assert summary.multiply_adds(summary.count(model, 320, 320)) < 90e9
