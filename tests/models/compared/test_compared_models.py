"""Every compared system trains, is saved, loaded and exported, and so on."""

import concurrent.futures
import json
import subprocess
import sys

import keras
import numpy as np
import plain_backbones
import published_weights
import pytest
import small_model
import tensorflow as tf

import keras_vas
from keras_vas import backbones, weights
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.losses import segmentation_loss
from keras_vas.models import registry, sentence_split, summary, variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import fine_tuning, initialisation
from keras_vas.weights import networks

SIZE = 32
WORDS = ("a", "dog", "left", "on", "red", "the")
NAMES = [x for x in registry.MODELS if not x.startswith("cstm")]
CLIP = {"temporal_backbone": "plain"}
OWN = {
    "acga": CLIP, "gavrilyuk": CLIP, "gavrilyuk_flow": CLIP,
    "hu": {}, "li": {"spatial_backbone": "plain"},
    "cmdy": {**CLIP, "temporal_branch": True},
    "vt_capsule": {"kernel": 3},
}  # fmt: skip
HEADS = {
    "acga": (2, 4), "gavrilyuk": (2, 4), "gavrilyuk_flow": (2, 4),
    "hu": (5,), "li": (5,), "cmdy": (), "vt_capsule": (),
}  # fmt: skip
# Side of 16 frames, and G of multiply-adds, counted from their papers.
COSTS = {
    "acga": (512, 335.46), "gavrilyuk": (512, 240.6), "hu": (512, 112.2),
    "li": (512, 112.0), "cmdy": (512, 200), "vt_capsule": (224, 32.8),
}  # fmt: skip


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Backbones of five convolutions, known as "plain"."""
    spatial, temporal = plain_backbones.Plain, plain_backbones.PlainClip
    monkeypatch.setitem(backbones.SPATIAL_BACKBONES, "plain", spatial)
    monkeypatch.setitem(backbones.TEMPORAL_BACKBONES, "plain", temporal)


def small(name, **arguments):
    keras.utils.set_random_seed(1)
    return registry.model_class(name)(
        **{
            "vocabulary_size": 8,
            "width": 0.0625,
            "embedding_dim": 8,
            "text_channels": 128,
            **OWN[name],
            **arguments,
        }
    )


def batch():
    random = np.random.default_rng(3)
    frames = random.uniform(0, 255, (2, 8, SIZE, SIZE, 3))
    mask = np.zeros((2, SIZE, SIZE, 1), "float32")
    mask[:, 8:20, 10:24] = 1
    tokens = [[2, 3, 4, 0], [7, 0, 0, 0]]
    return (
        {
            "frames": tf.constant(frames, tf.float32),
            "tokens": tf.constant(tokens, tf.int32),
        },
        mask,
    )


def step(model, inputs, mask, optimizer):
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = tf.reduce_sum(segmentation_loss(outputs, mask, kind="bce"))
    trained = model.trainable_variables
    gradients = tape.gradient(loss, [x.value for x in trained])
    assert all(x is not None for x in gradients)
    optimizer.apply(gradients, trained)
    return loss


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_a_run_and_an_export(name, tmp_path):
    heads = {"deep_supervision": True} if HEADS[name] else {}
    model = small(name, **heads)
    inputs, mask = batch()
    outputs = model(inputs)
    assert set(outputs) == {
        "mask_logits", *(f"mask_logits_p{i}" for i in HEADS[name])
    }  # fmt: skip
    for stage in HEADS[name]:
        side = SIZE // 2**stage
        assert outputs[f"mask_logits_p{stage}"].shape == (2, side, side, 1)
    optimizer = keras.optimizers.Adam(1e-3)
    losses = [float(step(model, inputs, mask, optimizer)) for _ in range(2)]
    assert np.isfinite(losses).all()
    expected = model(inputs)["mask_logits"]
    assert expected.shape == mask.shape
    assert np.ptp(expected) > 0

    vocabulary = Vocabulary(WORDS)
    run = tmp_path / "run"
    vocabulary.save(run / "vocabulary.txt")
    config = {
        "architecture": name,
        "flags": {"frame_height": SIZE, "frame_width": SIZE},
        "model": model.inference_config(),
    }
    (run / "config.json").write_text(json.dumps(config))
    mine = variables.model_variables(model)
    checkpoint.save(
        run_directory.best_path(run),
        checkpoint.read(mine),
        {"training_only": variables.training_only(model)},
    )
    loaded, _, _ = run_directory.load_run(run)
    assert set(loaded.output) == {"mask_logits"}
    found = loaded(inputs)["mask_logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5)

    clip, rest = sentence_split.split(loaded)
    split = rest(
        {**clip({"frames": inputs["frames"]}), "tokens": inputs["tokens"]}
    )
    np.testing.assert_allclose(split["mask_logits"], found, atol=1e-5)

    folder = saved_model.saved_model(
        run, tmp_path / "served", saved_model.Variant(SIZE, SIZE)
    )
    frames = np.uint8(inputs["frames"][0])
    here, there = (
        keras_vas.load(path).segment(frames, ["the red dog", "a dog"])
        for path in (run, folder)
    )
    assert here.masks.shape == (8, 2, SIZE, SIZE)
    np.testing.assert_array_equal(here.masks, there.masks)


def counted(name, side):
    """Multiply-adds and the other count, of a graph without numbers."""
    with keras.StatelessScope(initialize_variables=False):
        model = registry.model_class(name)(num_frames=16)
        costs = summary.count(model, side, side)
        second = summary.second_axis_count(model, side, side)
    return summary.multiply_adds(costs) / 1e9, second / 1e9


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_of_the_systems(name):
    side, expected = COSTS[name]
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        found, second = thread.submit(counted, name, side).result()
    assert found == pytest.approx(expected, rel=0.01)
    if name == "acga":
        assert second == pytest.approx(630.74, abs=0.01)


@pytest.mark.parametrize("name", ["acga", "gavrilyuk"])
def test_it_learns_by_heart(name):
    model = small(name, num_frames=2, width=0.25, train_embeddings=True)
    data = small_model.data(4)
    inputs = {key: data[key] for key in ("frames", "tokens")}
    optimizer = keras.optimizers.Adam(5e-3)
    train = tf.function(lambda: step(model, inputs, data["mask"], optimizer))
    for _ in range(8):
        for _ in range(20):
            train()
        found = np.array(model(inputs)["mask_logits"]) > 0
        truth = data["mask"] > 0
        iou = (found & truth).sum((1, 2, 3)) / (found | truth).sum((1, 2, 3))
        if iou.mean() > 0.9:
            break
    assert iou.mean() > 0.9


def test_what_the_authors_trained_is_trained():
    model = small("cmdy", temporal_backbone="i3d")
    fine_tuning.freeze(model, "backbones_but_last")
    prefix = "temporal_backbone_"
    blocks = {
        x.path.removeprefix(prefix).partition("_Branch")[0]
        for x in model.trainable_variables
        if x.path.startswith(prefix)
    }
    assert blocks == {f"Mixed_4{letter}" for letter in "bcdef"}
    other = small("hu", spatial_backbone="resnet50")
    with pytest.raises(UserError, match="--freeze=backbones_but_last: hu with"):
        fine_tuning.freeze(other, "backbones_but_last")
    with pytest.raises(UserError, match="has no part spatial; there are temp"):
        initialisation.assign_encoders(model, {"spatial": "nowhere"})


def test_flow_begins_with_the_mean_over_colours(capsys):
    model = small("gavrilyuk_flow")
    model.weights_assigned("temporal_backbone")
    assert "no weights for flow" in capsys.readouterr().out
    rgb, flow = (
        np.array(model.get_layer(f"{name}_stage_1_conv").kernel)
        for name in ("temporal_backbone", "temporal_flow_backbone")
    )
    assert flow.shape[-2] == 2
    np.testing.assert_allclose(flow[..., 1, :], rgb.mean(-2), atol=1e-6)


def test_stages_of_a_run_that_a_model_lacks_are_left_out(tmp_path):
    model = small("acga")
    backbone = plain_backbones.PlainClip(0.0625, "temporal_backbone")
    frames = x = keras.Input((8, SIZE, SIZE, 3))
    for stage in (1, 2, 3, 4, 5):
        x = backbone.stage(stage, x)
    whole = variables.model_variables(keras.Model(frames, x))
    path = run_directory.best_path(tmp_path)
    checkpoint.save(path, checkpoint.read(whole), {})
    count = initialisation.assign_backbone(model, "temporal", tmp_path)
    mine = variables.model_variables(model)
    taken = [key for key in mine if key.startswith("temporal_backbone")]
    assert len(taken) == count < len(whole)
    for key in taken:
        np.testing.assert_array_equal(mine[key], whole[key])
    with pytest.raises(UserError, match="of another architecture"):
        initialisation.assign_model(small("gavrilyuk"), tmp_path)


def test_vgg_takes_the_file_of_keras_applications(tmp_path, monkeypatch):
    model = small("hu")
    mine = networks.variables(model, "spatial_backbone")
    shapes = {name: tuple(x.shape) for name, x in mine.items()}
    assert shapes["fc1/kernel"] == (7, 7, 32, 256)
    monkeypatch.setattr(networks, "shapes", lambda _: shapes)
    arrays = {}
    for number, (name, shape) in enumerate(shapes.items()):
        if name in ("fc1/kernel", "fc2/kernel", "predictions/kernel"):
            shape = (int(np.prod(shape[:-1])), shape[-1])
        arrays[name] = published_weights.telling(shape, number)
    path = tmp_path / "vgg16.h5"
    published_weights.write_h5(path, arrays)
    found = weights.load(path, "vgg16")
    weights.assign(model, "spatial_backbone", found)
    for name, array in arrays.items():
        np.testing.assert_array_equal(
            np.array(mine[name]).ravel(), array.ravel()
        )


def test_what_cannot_be_is_refused_in_one_line(repository):
    paths = ["--data=a", "--workdir=b"]
    asked = [
        ["train.py", "--model=acga", "--fusion=add", *paths],
        ["train.py", "--model=acga", "--num_frames=16", *paths],
        ["train.py", "--nodeep_supervision", "--kernel=5", *paths],
    ]
    done = subprocess.run(
        [sys.executable, "tests/helpers/begin_programs.py"],
        input=json.dumps(asked),
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [errors.strip() for _, _, errors in json.loads(done.stdout)]
    assert said[0].startswith("error: --fusion is a flag of --model=cstm; ")
    assert "--num_frames=16: records hold 8 frames a clip" in said[1]
    assert said[2].startswith("error: --kernel is a flag of --model=vt_capsule")
    assert all(line.count("\n") == 0 for line in said)
