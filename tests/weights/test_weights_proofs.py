"""Ported weights do in our networks what they do in the published ones."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_vas import weights
from keras_vas.errors import UserError
from keras_vas.weights import networks, porting, proofs


def stock(architecture):
    """The network of keras.applications with statistics that matter."""
    keras.utils.set_random_seed(1)
    make = {
        "inception_v3": keras.applications.InceptionV3,
        "resnet50": keras.applications.ResNet50,
    }[architecture]
    model = make(weights=None, include_top=False, input_shape=(None, None, 3))
    rng = np.random.default_rng(2)
    for variable in model.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name != "kernel":
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


def same_padded(model):
    """The network again with SAME padding, with the same weights."""

    def again(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.Conv2D | keras.layers.MaxPooling2D):
            config["padding"] = "same"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=again)
    for layer in model.layers:
        if layer.variables:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def stage_outputs(model, architecture, frames):
    """Outputs of the five stages of a network of keras.applications."""
    if architecture == "resnet50":
        ends = [
            model.get_layer(name).output
            for name in (
                "conv1_relu", "conv2_block3_out", "conv3_block4_out",
                "conv4_block6_out", "conv5_block3_out",
            )
        ]  # fmt: skip
    else:
        pools = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.MaxPooling2D)
        ]
        ends = [pool.input for pool in pools[:2]]
        ends += [model.get_layer(f"mixed{i}").output for i in (2, 7, 10)]
    return run(keras.Model(model.input, ends), frames)


def run(model, frames):
    outputs = model(frames.astype("float32"), training=False)
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def assert_stages_equal(ported, reference, frames):
    ours = networks.build(ported.architecture)
    weights.assign(ours, networks.PREFIX, ported)
    found = run(ours, frames)
    expected = stage_outputs(reference, ported.architecture, frames)
    assert len(found) == len(expected) == 5
    for stage, (a, b) in enumerate(zip(found, expected, strict=True), 1):
        assert a.shape == b.shape
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(
            a, b, atol=1e-4 * np.abs(b).max(), rtol=0, err_msg=f"stage {stage}"
        )


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).uniform(-1, 1, (1, 64, 96, 3))


def test_stages_of_inception_equal_those_of_keras_applications(
    tmp_path, frames
):
    model = stock("inception_v3")
    model.save(tmp_path / "stock.h5")
    ported = porting.read(tmp_path / "stock.h5", "inception_v3")
    assert len(ported.arrays) == len(model.weights) == 376
    assert_stages_equal(ported, same_padded(model), frames)

    (line,) = proofs.verify(ported)
    assert line.startswith("stages 1 to 5 differ")
    swapped = dict(ported.arrays)  # two kernels of one shape
    one, other = (
        f"Mixed_5c_Branch_{branch}_Conv2d_0a_1x1_conv/kernel"
        for branch in (0, 2)
    )
    swapped[one], swapped[other] = swapped[other], swapped[one]
    with pytest.raises(UserError, match="stages differ"):
        list(proofs.verify(dataclasses.replace(ported, arrays=swapped)))


def test_stages_of_resnet_equal_those_of_keras_applications(tmp_path, frames):
    model = stock("resnet50")
    model.save_weights(tmp_path / "stock.weights.h5")
    ported = porting.read(tmp_path / "stock.weights.h5", "resnet50")
    assert len(ported.arrays) == len(model.weights) == 318
    assert_stages_equal(ported, model, frames)


def test_resnet_in_the_file_of_a_whole_keras_model(tmp_path):
    model = stock("resnet50")
    model.save(tmp_path / "stock.h5")
    found = porting.read(tmp_path / "stock.h5", "resnet50").arrays
    assert len(found) == len(model.weights) == 318
    for layer in model.layers:
        for variable in layer.variables:
            np.testing.assert_array_equal(
                found[f"{layer.name}/{variable.name}"], variable.numpy()
            )


def test_i3d_plays_cricket(shared_dir):
    ported = weights.load(
        shared_dir / "weights" / "i3d_rgb_kinetics400.npz", "i3d"
    )
    clip = shared_dir / "samples" / "v_CricketShot_g04_c01_rgb.gif"
    labels = shared_dir / "weights" / "kinetics400_label_map.txt"
    assert labels.read_text().splitlines()[proofs.CRICKET] == "playing cricket"
    found = proofs.probabilities(ported, proofs.read_frames(clip, 40))
    assert found.shape == (1, 400)
    found = found[0]
    assert found.argmax() == proofs.CRICKET
    assert found[proofs.CRICKET] >= 0.99


# The clips of DAVIS whose subject is among ImageNet's 1,000 classes, and its
# numbers there.
CARS = {407, 436, 468, 479, 511, 609, 627, 656, 661, 717, 751, 817, 864}
CYCLES = {444, 665, 670, 671}
DUCKS = {97, 98, 99}
DOGS = set(range(151, 269))
CLASSES = {
    "bear": {294, 295, 296, 297},
    "bmx-bumps": CYCLES,
    "bmx-trees": CYCLES,
    "boat": {472, 484, 554, 576, 625, 628, 724, 814, 914},
    "bus": {654, 779, 874},
    "camel": {354},
    "car-shadow": CARS,
    "car-turn": CARS,
    "dog": DOGS,
    "dog-agility": DOGS,
    "drift-straight": CARS,
    "drift-turn": CARS,
    "elephant": {101, 385, 386},
    "flamingo": {130},
    "mallard-fly": DUCKS,
    "mallard-water": DUCKS,
    "motocross-bumps": CYCLES,
    "motorbike": CYCLES,
    "paragliding": {701},
    "scooter-black": CYCLES,
    "scooter-gray": CYCLES,
    "soccerball": {805},
    "swing": {843},
    "tennis": {752, 852},
    "train": {466, 547, 705, 820, 829},
}


def test_resnet_names_what_is_in_real_clips(shared_dir):
    ported = weights.load(
        shared_dir / "weights" / "resnet50_imagenet_keras_convfp16.npz",
        "resnet50",
    )
    folder = shared_dir / "data" / "a2d_sentences" / "Release" / "clips320H"
    clips = {name: folder / f"davis_{name}.mp4" for name in CLASSES}
    seen = {name: clip for name, clip in clips.items() if clip.is_file()}
    assert len(seen) >= 20
    frames = [proofs.read_frames(clip, 1)[0] for clip in seen.values()]
    images = np.stack(frames)
    found = proofs.probabilities(ported, images).argmax(axis=-1)
    right = [
        number in CLASSES[x] for x, number in zip(seen, found, strict=True)
    ]
    assert np.mean(right) >= 0.75, dict(zip(seen, found, strict=True))
