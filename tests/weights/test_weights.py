"""Published files of every form into our layers, and into a model."""

import subprocess
import sys

import keras
import numpy as np
import published_weights as published
import pytest

from keras_vas import CSTM, weights
from keras_vas.errors import UserError
from keras_vas.training import initialisation, settings
from keras_vas.weights import __main__ as program
from keras_vas.weights import cache, networks, porting, registry

STATISTICS = ("mean", "var", "moving_mean", "moving_variance")


@pytest.fixture(scope="module")
def i3d():
    """What a port of the files made here must hold."""
    return published.i3d(published.our_i3d_name)


@pytest.fixture(scope="module")
def flax():
    arrays = published.i3d(published.flax_name)
    return published.with_batch_axes(arrays, STATISTICS)


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(
            found[name], array.reshape(found[name].shape), err_msg=name
        )


def write_flax_npz(path, flax):
    np.savez(path / "i3d.npz", **flax)
    return path / "i3d.npz"


def write_sdist(path, flax):
    published.write_sdist(path / "i3d-0.0.1.tar.gz", flax)
    return path / "i3d-0.0.1.tar.gz"


def write_keras_h5(path, flax):
    arrays = {"layer/kernel": flax["params|Conv3d_1a_7x7|Conv_0|kernel"]}
    published.write_h5(path / "layers.h5", arrays)
    return path / "layers.h5"


def write_hub_module(path, flax):
    arrays = published.i3d(published.hub_name)
    assert (
        "RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w" in arrays
    )
    published.write_hub_module(
        path / "module",
        published.with_batch_axes(arrays, ("beta", *STATISTICS)),
    )
    return path / "module"


@pytest.mark.parametrize(
    ("write", "form"),
    [
        (write_flax_npz, "npz"),
        (write_sdist, "package"),
        (write_hub_module, "hub"),
    ],
    ids=["npz", "sdist", "hub"],
)
def test_every_form_of_i3d_gives_the_same_arrays(
    write, form, tmp_path, flax, i3d
):
    found = porting.read(write(tmp_path, flax), "i3d")
    assert found.form == form
    assert len(found.arrays) == 230
    same(found.arrays, i3d)


def test_hub_module_of_tensorflow_2_is_read_by_variable_name(tmp_path):
    import tensorflow as tf

    from keras_vas.weights import containers

    module = tf.train.Checkpoint()
    module.variables = [tf.Variable([1.0, 2.0], name="layer/w")]
    tf.saved_model.save(module, tmp_path / "module")
    found = containers.read(tmp_path / "module")
    assert found.form == "hub"
    np.testing.assert_array_equal(found.arrays["layer/w"], [1, 2])


def test_port_keeps_arrays_and_origin_in_the_cache(tmp_path, flax, i3d):
    path = write_flax_npz(tmp_path, flax)
    ported = weights.port(path, "i3d_kinetics400", cache=tmp_path / "cache")
    assert ported == tmp_path / "cache" / "i3d_kinetics400.npz"
    assert weights.fetch("i3d_kinetics400", tmp_path / "cache") == ported
    found = weights.load("kinetics400", "i3d", tmp_path / "cache")
    same(found.arrays, i3d)
    assert (found.source, found.form) == (str(path), "npz")
    assert len(found.sha256) == 64


def test_port_does_not_write_over_other_weights_unasked(tmp_path, flax):
    first = write_flax_npz(tmp_path, flax)
    weights.port(first, "i3d_kinetics400", tmp_path / "cache")
    weights.port(first, "i3d_kinetics400", tmp_path / "cache")  # the same
    name = "params|Conv3d_1a_7x7|Conv_0|kernel"
    second = tmp_path / "second.npz"
    np.savez(second, **(flax | {name: flax[name] + 1}))
    with pytest.raises(UserError, match=r"other weights.*--replace"):
        weights.port(second, "i3d_kinetics400", tmp_path / "cache")
    weights.port(second, "i3d_kinetics400", tmp_path / "cache", replace=True)
    found = weights.load("i3d_kinetics400", "i3d", tmp_path / "cache")
    assert found.source == str(second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.pop("params|Mixed_4e|Branch_3/Conv3d_0b_1x1|Conv_0"
                            "|kernel"),
            r"1 here and not there \(Mixed_4e_Branch_3_Conv3d_0b_1x1_conv/",
        ),
        (
            lambda a: a.update(extra=a["params|Conv3d_1a_7x7|Conv_0|kernel"]),
            r"1 there and not here \(extra\)",
        ),
        (
            lambda a: a.update({
                "params|Mixed_9z|Conv_0|kernel":
                    a.pop("params|Conv3d_1a_7x7|Conv_0|kernel")
            }),
            r"there and not here \(params.Mixed_9z.*here and not there "
            r"\(Conv3d_1a_7x7_conv/kernel\)",
        ),
        (
            lambda a: a.update({
                "params|Mixed_3b_Branch_0|Conv3d_0a_1x1|Conv_0|kernel":
                    a["params|Conv3d_1a_7x7|Conv_0|kernel"]
            }),
            "1 twice there",
        ),
        (
            lambda a: a.update({
                "params|Conv3d_2b_1x1|Conv_0|kernel": np.zeros((1, 64, 64))
            }),
            r"shape \(1, 64, 64\) instead of \(1, 1, 1, 64, 64\)",
        ),
        (
            lambda a: a["params|Logits/Conv3d_0c_1x1|Conv_0|bias"].fill(np.nan),
            "NaN or infinity",
        ),
    ],
    ids=["missing", "extra", "renamed", "twice", "shape", "nan"],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(change, message, tmp_path, flax):
    arrays = {name: array.copy() for name, array in flax.items()}
    change(arrays)
    path = write_flax_npz(tmp_path, arrays)
    with pytest.raises(UserError, match=message):
        weights.port(path, "i3d_kinetics400", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_assign_changes_the_backbone_and_nothing_else(tmp_path, flax, i3d):
    model = small_model()
    before = {v.path: v.numpy() for v in model.weights}
    found = weights.load(write_flax_npz(tmp_path, flax), "i3d")
    weights.assign(model, "temporal_backbone", found)
    expected = {k: v for k, v in i3d.items() if not k.startswith("head/")}
    same(
        {
            name: variable.numpy()
            for name, variable in networks.variables(
                model, "temporal_backbone"
            ).items()
        },
        expected,
    )
    others = [v for v in model.weights if "temporal_backbone" not in v.path]
    assert len(others) == len(model.weights) - 228 > 0
    for variable in others:
        np.testing.assert_array_equal(variable.numpy(), before[variable.path])


def small_model():
    return CSTM(
        encoders="temporal", decoder_channels=8, key_channels=8,
        text_channels=8, embedding_dim=8, vocabulary_size=9, cmam_stages=(),
    )  # fmt: skip


def test_training_takes_the_weights_that_are_named(tmp_path, flax):
    model = small_model()
    beginning = settings.Beginning(
        temporal_weights=str(write_flax_npz(tmp_path, flax))
    )
    initialisation.initialise(model, beginning, None, None, 0)
    kernel = model.get_layer("temporal_backbone_Conv3d_2c_3x3_conv").kernel
    np.testing.assert_array_equal(
        kernel.numpy(), flax["params|Conv3d_2c_3x3|Conv_0|kernel"]
    )


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        ({"spatial_weights": "imagenet"}, "needs a spatial encoder"),
        ({"temporal_weights": "imagenet"}, "names for it: i3d_kinetics400"),
        ({"temporal_names": "f"}, "needs --temporal_weights with a head"),
    ],
)
def test_training_refuses_weights_without_a_place(begin, message):
    with pytest.raises(UserError, match=message):
        initialisation.initialise(
            small_model(), settings.Beginning(**begin), None, [], 0
        )


def test_a_part_has_one_source():
    for one, other in (
        ("init_run", "temporal_weights"),
        ("init_run", "spatial_run"),
        ("temporal_run", "temporal_weights"),
    ):
        with pytest.raises(ValueError, match=f"--{one} and --{other} both"):
            settings.Beginning(**{one: "a", other: "b"})


def test_names_need_a_gate_to_learn_them():
    with pytest.raises(ValueError, match="give --cmam_stages with 5"):
        small_model().sentence_gate("temporal", 20, 0.1)


def test_narrow_backbone_is_refused_in_one_line(tmp_path, flax):
    found = weights.load(write_flax_npz(tmp_path, flax), "i3d")
    model = CSTM(
        encoders="temporal", width=0.0625, vocabulary_size=9, cmam_stages=()
    )
    with pytest.raises(UserError, match="pretrained weights need --width=1"):
        weights.assign(model, "temporal_backbone", found)


@pytest.mark.parametrize(
    ("what", "architecture", "message"),
    [
        ("kinetics400", "s3d", "names for it: none"),
        ("imagenet", "i3d", "names for it: i3d_kinetics400"),
        ("resnet50_imagenet", "inception_v3", "of resnet50, not of inception"),
        ("no/such/file.npz", "i3d", "neither a file nor the name"),
    ],
)
def test_load_says_what_there_is(what, architecture, message):
    with pytest.raises(UserError, match=message):
        weights.load(what, architecture)


def test_kernels_of_i3d_are_refused_for_s3d(tmp_path, flax):
    with pytest.raises(UserError, match="no published weights for s3d"):
        weights.load(write_flax_npz(tmp_path, flax), "s3d")


def test_ported_file_is_used_for_its_architecture_alone(tmp_path, flax):
    path = write_flax_npz(tmp_path, flax)
    ported = weights.port(path, "i3d_kinetics400", tmp_path)
    with pytest.raises(UserError, match="weights of i3d, not of resnet50"):
        weights.load(ported, "resnet50")


def test_cut_file_is_refused_in_one_line(tmp_path, flax):
    for write in (write_flax_npz, write_sdist, write_keras_h5):
        path = write(tmp_path, flax)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(
            UserError, match=f"{path.name} is no whole file of weights"
        ):
            porting.read(path, "i3d")


def old_resnet_name(name):
    """`conv3_block2_1_bn/beta` as Keras said it until 2018: bn3b_branch2a."""
    layer, variable = name.split("/")
    if layer == "head":
        return f"fc1000/{variable}"
    parts = layer.split("_")
    if parts[0] == "conv1":
        return f"{'conv1' if parts[1] == 'conv' else 'bn_conv1'}/{variable}"
    kind = "res" if parts[3] == "conv" else "bn"
    branch = ["1", "2a", "2b", "2c"][int(parts[2])]
    letter = "_abcdef"[int(parts[1].removeprefix("block"))]
    return f"{kind}{parts[0][-1]}{letter}_branch{branch}/{variable}"


def test_resnet_under_its_old_names(tmp_path):
    stock = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    names = [
        f"{layer.name}/{variable.name}"
        for layer in stock.layers
        for variable in layer.variables
    ]
    shapes = networks.shapes("resnet50")
    assert set(names) == set(shapes)
    expected = {
        name: published.telling(shapes[name], i) for i, name in enumerate(names)
    }
    expected["head/kernel"] = published.telling((2048, 1000), 900)
    expected["head/bias"] = published.telling((1000,), 901)
    path = tmp_path / "old.npz"
    np.savez(path, **{old_resnet_name(name): a for name, a in expected.items()})
    with np.load(path) as archive:
        assert "res4f_branch2c/kernel" in archive
    same(porting.read(path, "resnet50").arrays, expected)


def test_cache_folder_is_the_platforms_unless_said(monkeypatch, tmp_path):
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder().name == "keras_vas"
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "variable"))
    assert cache.folder() == tmp_path / "variable"
    assert cache.folder(tmp_path / "argument") == tmp_path / "argument"


def test_documented_table_is_the_registry(repository):
    text = (repository / "docs" / "pretrained_weights.md").read_text()
    assert registry.markdown() in text


def test_list_and_port_as_commands(tmp_path, flax, capsys):
    def run(*words):
        program.main(
            program._parser().parse_args([*words, f"--cache={folder}"])
        )
        return capsys.readouterr().out

    path, folder = write_flax_npz(tmp_path, flax), tmp_path / "cache"
    said = run("port", str(path), "--to=i3d_kinetics400")
    assert f"230 arrays in {folder / 'i3d_kinetics400.npz'}" in said
    assert "a file that the registry does not know" in said
    listed = run("list")
    assert f"i3d_kinetics400: {folder / 'i3d_kinetics400.npz'}" in listed
    assert "resnet50_imagenet: not in the cache" in listed
    for known in registry.REGISTRY.values():
        for source in known.sources:
            assert (source.sha256 or source.location) in listed
    with pytest.raises(UserError, match=r"not in the cache .*fetch or port it"):
        run("verify", "resnet50_imagenet")


def test_program_reports_a_mistake_in_one_line(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "keras_vas.weights", "port",
            str(tmp_path / "none.npz"), "--to=i3d_kinetics400",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: there is no")
    assert "Traceback" not in done.stderr
