"""Backbones: stages, names, numbers, and how one more is added."""

import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from plain_backbones import Plain

import keras_vas
from keras_vas import backbones

NARROW = {
    "width": 0.0625,
    "vocabulary_size": 30,
    "embedding_dim": 8,
    "decoder_channels": 16,
    "key_channels": 16,
    "text_channels": 16,
}
# Channels of the stages, and the length of 8 frames there.
STAGE_TABLE = {
    "inception_v3": ((64, 192, 288, 768, 2048), None),
    "resnet50": ((64, 256, 512, 1024, 2048), None),
    "vgg16": ((64, 128, 256, 512, 1000), None),
    "i3d": ((64, 192, 480, 832, 1024), (4, 4, 4, 2, 1)),
    "s3d": ((64, 192, 480, 832, 1024), (4, 4, 4, 2, 1)),
    "s3d_g": ((64, 192, 480, 832, 1024), (4, 4, 4, 2, 1)),
}


def stages_of(backbone, shape):
    """A model with the output of every stage of `backbone`, no scaling."""
    frames = keras.Input(shape)
    outputs, x = [], frames
    for stage in backbones.STAGES:
        x = backbone.stage(stage, x)
        outputs.append(x)
    return keras.Model(frames, outputs)


def randomize(model, seed=0):
    """Kernels that keep the scale, statistics and offsets that count."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        shape = variable.shape
        if variable.path.endswith("kernel"):
            deviation = np.sqrt(2 / np.prod(shape[:-1]))
            value = generator.normal(0, deviation, shape)
        elif variable.path.endswith(("gamma", "moving_variance")):
            value = generator.uniform(0.5, 1.5, shape)
        else:
            value = generator.uniform(-0.5, 0.5, shape)
        variable.assign(value)


def test_resnet50_equals_keras_applications_stage_by_stage():
    stock = keras.applications.ResNet50(weights=None, include_top=False)
    randomize(stock)
    ours = stages_of(
        backbones.SPATIAL_BACKBONES["resnet50"](name="spatial_backbone"),
        (None, None, 3),
    )
    copied = 0
    for layer in stock.layers:
        if layer.weights:
            twin = ours.get_layer(f"spatial_backbone_{layer.name}")
            assert [w.name for w in twin.weights] == [
                w.name for w in layer.weights
            ]
            twin.set_weights(layer.get_weights())
            copied += 1
    assert copied == 2 * 53
    assert sum(bool(layer.weights) for layer in ours.layers) == copied
    assert ours.count_params() == stock.count_params()

    ends = [
        "conv1_relu",
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
        "conv5_block3_out",
    ]
    expected = keras.Model(
        stock.input, [stock.get_layer(name).output for name in ends]
    )
    frames = np.random.default_rng(1).uniform(-120, 150, (2, 64, 96, 3))
    for ours_i, stock_i in zip(
        ours(frames.astype("float32")),
        expected(frames.astype("float32")),
        strict=True,
    ):
        scale = float(np.abs(stock_i).max())
        assert scale > 1
        np.testing.assert_allclose(ours_i, stock_i, atol=1e-4 * scale)


def test_resnet50_takes_bgr_less_the_mean_of_imagenet():
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), "uint8")
    backbone = backbones.SPATIAL_BACKBONES["resnet50"]()
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, backbone.preprocess(inputs))
    expected = keras.applications.resnet50.preprocess_input(
        frames.astype("float32")
    )
    np.testing.assert_allclose(model(frames), expected, atol=1e-4)
    with pytest.raises(ValueError, match="multiples of 32"):
        model(frames[:, :31])


@pytest.mark.parametrize(
    "name", [*backbones.SPATIAL_BACKBONES, *backbones.TEMPORAL_BACKBONES]
)
def test_stages_have_the_strides_and_channels_of_the_table(name):
    channels, times = STAGE_TABLE[name]
    temporal = name in backbones.TEMPORAL_BACKBONES
    found = (backbones.TEMPORAL_BACKBONES | backbones.SPATIAL_BACKBONES)[name]
    shape = (8, 64, 96, 3) if temporal else (64, 96, 3)
    model = stages_of(found(name="prefix"), shape)
    assert found.channels == channels
    for i, output in enumerate(model.outputs):
        stride = 2 ** (i + 1)
        size = (64 // stride, 96 // stride, channels[i])
        assert output.shape[1:] == ((times[i], *size) if temporal else size)
    for layer in model.layers:
        if layer.weights:
            assert layer.name.startswith("prefix_")


def test_s3d_has_the_published_parameters():
    plain, gated = (
        stages_of(backbones.TEMPORAL_BACKBONES[name](), (8, 32, 32, 3))
        for name in ("s3d", "s3d_g")
    )
    channels = sum(
        layer.beta.shape[0]
        for layer in plain.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    # 8,320,048 in torchvision, with a 400-way head and a gamma beside every
    # beta; moving means and variances are not counted there.
    head = 1024 * 400 + 400
    trained = plain.count_params() - 2 * channels
    assert trained + channels + head == 8_320_048
    gates = [64, 192]
    for second, third in (
        (128, 32), (192, 96), (208, 48), (224, 64), (256, 64), (288, 64),
        (320, 128), (320, 128), (384, 128),
    ):  # fmt: skip
        gates += [second, third]
    assert gated.count_params() - plain.count_params() == sum(
        n * n + n for n in gates
    )


def test_s3d_convolves_over_space_then_over_time():
    model = stages_of(
        backbones.TEMPORAL_BACKBONES["s3d"](0.125), (8, 32, 32, 3)
    )
    kernels = {
        layer.name.removeprefix("backbone_"): layer.kernel.shape[:3]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv3D)
    }
    spatial = {n: k for n, k in kernels.items() if "_spatial_" in n}
    temporal = {n: k for n, k in kernels.items() if "_temporal_" in n}
    assert len(spatial) == len(temporal) == 2 + 2 * 9
    assert spatial.pop("Conv3d_1a_7x7_spatial_conv") == (1, 7, 7)
    assert temporal.pop("Conv3d_1a_7x7_temporal_conv") == (7, 1, 1)
    assert set(spatial.values()) == {(1, 3, 3)}
    assert set(temporal.values()) == {(3, 1, 1)}
    others = kernels.keys() - spatial.keys() - temporal.keys()
    assert {kernels[n] for n in others if "7x7" not in n} == {(1, 1, 1)}
    order = [layer.name for layer in model.layers]
    for name in spatial:
        after = name.replace("_spatial_", "_temporal_")
        assert order.index(f"backbone_{name}") < order.index(
            f"backbone_{after}"
        )


def test_s3d_g_gates_as_its_equation_says():
    backbone = backbones.TEMPORAL_BACKBONES["s3d_g"](width=0.125, name="b")
    frames = keras.Input((4, 32, 32, 3))
    model = keras.Model(frames, backbone.stage(1, frames))
    randomize(model)
    before = keras.Model(
        frames, model.get_layer("b_Conv3d_1a_7x7_temporal_relu").output
    )
    clips = np.random.default_rng(2).uniform(-1, 1, (3, 4, 32, 32, 3))
    x = np.asarray(before(clips), "float64")
    gate = model.get_layer("b_Conv3d_1a_7x7_gate")
    weights = x.mean(axis=(1, 2, 3)) @ np.asarray(gate.kernel) + np.asarray(
        gate.bias
    )
    expected = x / (1 + np.exp(-weights))[:, None, None, None]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model(clips), expected, atol=1e-5)
    assert not np.allclose(expected, x, atol=1e-2)


def test_i3d_and_s3d_share_no_kernel_but_the_pointwise_ones():
    i3d, s3d = (
        stages_of(backbones.TEMPORAL_BACKBONES[name](0.125), (8, 32, 32, 3))
        for name in ("i3d", "s3d")
    )
    shapes = {v.path: v.shape for v in i3d.weights if v.path.endswith("kernel")}
    shared = [v for v in s3d.weights if v.path in shapes]
    assert len(shared) == 57 - 20
    assert all(v.shape[:3] == (1, 1, 1) for v in shared)


@pytest.mark.parametrize(
    ("spatial", "temporal"),
    [
        ("inception_v3", "i3d"),
        ("inception_v3", "s3d"),
        ("resnet50", "i3d"),
        ("resnet50", "s3d"),
    ],
)
def test_every_row_of_table_3d_trains_a_step(spatial, temporal):
    keras.utils.set_random_seed(0)
    model = keras_vas.CSTM(
        **NARROW,
        cmam_stages=(5,),
        spatial_backbone=spatial,
        temporal_backbone=temporal,
    )
    kernels = [
        variable
        for variable in model.trainable_variables
        if "_backbone_" in variable.path and variable.path.endswith("kernel")
    ]
    before = [np.array(kernel) for kernel in kernels]
    inputs = {
        "frames": np.random.default_rng(0).integers(
            0, 256, (2, 8, 32, 32, 3), "uint8"
        ),
        "tokens": np.array([[3, 4, 0], [5, 0, 0]], "int32"),
    }
    mask = np.zeros((2, 32, 32, 1), "float32")
    mask[:, 8:20, 4:16] = 1
    model.compile(
        keras.optimizers.Adam(1e-2),
        loss={"mask_logits": keras.losses.BinaryCrossentropy(from_logits=True)},
        run_eagerly=True,
    )
    assert np.isfinite(model.train_on_batch(inputs, {"mask_logits": mask}))
    changed = [
        not np.array_equal(old, new)
        for old, new in zip(before, kernels, strict=True)
    ]
    assert len(changed) > 100
    assert all(changed)


def test_a_further_backbone_is_one_class_and_one_line(monkeypatch):
    with pytest.raises(ValueError, match="spatial_backbone"):
        keras_vas.CSTM(**NARROW, spatial_backbone="plain")
    monkeypatch.setitem(backbones.SPATIAL_BACKBONES, "plain", Plain)
    arguments = {**NARROW, "width": 1.0, "spatial_backbone": "plain"}
    model = keras_vas.CSTM(**arguments, encoders="spatial")
    for stage, channels in zip(backbones.STAGES, Plain.channels, strict=True):
        layer = model.get_layer(f"spatial_backbone_stage_{stage}_relu")
        assert layer.output.shape[-1] == channels
    outputs = model(
        {
            "frames": np.zeros((1, 8, 64, 32, 3), "uint8"),
            "tokens": np.array([[3, 4]], "int32"),
        }
    )
    assert outputs["mask_logits"].shape == (1, 64, 32, 1)
    assert keras_vas.CSTM.from_config(model.get_config()).count_params() == (
        model.count_params()
    )


def test_contributing_adds_a_backbone_by_one_file_and_one_line(
    repository, tmp_path
):
    text = (repository / "CONTRIBUTING.md").read_text()
    section = text.split("## Adding a backbone")[1].split("\n## ")[0]
    new_file, new_line = re.findall(r"```python\n(.*?)```", section, re.S)
    assert new_line.count("\n") == 1

    shutil.copytree(repository / "keras_vas", tmp_path / "keras_vas")
    folder = tmp_path / "keras_vas" / "backbones"
    (folder / "plain.py").write_text(new_file)
    names = (folder / "__init__.py").read_text()
    before = "SPATIAL_BACKBONES = _found(\n    {\n"
    assert before in names
    (folder / "__init__.py").write_text(
        names.replace(before, before + new_line)
    )
    program = (
        "import keras_vas;"
        f"model = keras_vas.CSTM(**{NARROW}, encoders='spatial',"
        " cmam_stages=(5,), spatial_backbone='plain');"
        "print(keras_vas.__file__);"
        "print(model.get_layer('spatial_backbone_stage_5_relu').output.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    file, shape = done.stdout.splitlines()
    assert file.startswith(str(tmp_path))
    assert shape == "(None, None, None, 8)"
