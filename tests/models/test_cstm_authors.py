"""The authors' checkpoint gives the authors' masks."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import torch_checkpoint

import keras_vas
from keras_vas.backbones.backbone import scaled
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.models import summary
from keras_vas.models.cstm_authors import state_dict
from keras_vas.models.cstm_authors.aligned_upsampling import AlignedUpsampling
from keras_vas.models.cstm_authors.cstm_authors import AuthorsCSTM
from keras_vas.runs import run as run_directory
from keras_vas.weights import torch_file

WIDTH, TEXT, EMBEDDING = 0.125, 12, 6
WORDS = ("a", "dog", "on", "running", "the")
SENTENCE = "the dog on a zeppelin"


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(1).integers(0, 255, (8, 64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def vectors():
    rows = np.random.default_rng(2).normal(size=(len(WORDS), EMBEDDING))
    return dict(zip(WORDS, rows.round(4), strict=True))


@pytest.fixture(scope="module")
def authors(clip, vectors):
    """The network in JAX, and its logits for the sentence."""
    network = torch_checkpoint.Authors(
        lambda channels: scaled(channels, WIDTH), TEXT, EMBEDDING
    )
    words = np.zeros((20, EMBEDDING))
    for i, word in enumerate(SENTENCE.split()):
        words[i] = vectors.get(word, 0)
    return network, network.logits(clip, words)


@pytest.fixture(scope="module")
def run(authors, vectors, repository, tmp_path_factory):
    """The run that the program makes of a checkpoint."""
    folder = tmp_path_factory.mktemp("authors")
    optimizer = {"state": {0: {"step": 3}}, "lr": 5e-4, "betas": [0.9, 0.999]}
    torch_checkpoint.save(
        folder / "checkpoint.pth.tar",
        {"epoch": 8, "state_dict": authors[0].state, "optimizer": optimizer},
    )
    Vocabulary(WORDS).save(folder / "vocabulary.txt")
    rows = (" ".join([w, *map(str, row)]) for w, row in vectors.items())
    (folder / "glove.txt").write_text("\n".join(rows) + "\n")
    finished = subprocess.run(
        [
            sys.executable, "-m", "keras_vas.programs.port_cstm",
            f"--checkpoint={folder / 'checkpoint.pth.tar'}",
            f"--vocabulary={folder / 'vocabulary.txt'}",
            f"--word_vectors={folder / 'glove.txt'}",
            f"--workdir={folder / 'run'}",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "5 words, of which 0 have no vector" in finished.stdout
    return folder / "run"


def asked(clip, vocabulary):
    tokens = np.asarray(vocabulary.encode([SENTENCE]))
    return {"frames": clip[None], "tokens": tokens}


def test_the_ported_run_gives_the_authors_logits(authors, run, clip):
    _, expected = authors
    model, vocabulary, config = run_directory.load_run(run)
    assert config["flags"] == {"frame_height": 320, "frame_width": 320}
    inputs = asked(clip, vocabulary)
    found = np.asarray(model(inputs, training=False)["mask_logits"])
    assert found.shape == (1, 64, 96, 1)
    spread = np.ptp(expected)
    assert spread > 0.1
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-4 * spread)


def test_the_modulated_features_have_negative_borders(authors, run, clip):
    """What pooling pads with matters here: another padding fails above."""
    model, vocabulary, _ = run_directory.load_run(run)
    parts = keras.Model(
        model.inputs,
        [
            model.get_layer(f"{x}_cmam_1").output
            for x in ("spatial", "temporal")
        ],
    )
    for feature in parts(asked(clip, vocabulary)):
        assert (np.asarray(feature) < -0.01).mean() > 0.001


def test_the_ported_run_segments_exports_and_says_what_it_is(
    run, clip, tmp_path
):
    predictor = keras_vas.load(run)
    assert str(predictor.about) == (
        "run (AuthorsCSTM): trained on a2d_sentences (3,017 videos, 5,358 "
        "sentences); 5 words."
    )
    assert predictor.unknown_words(SENTENCE) == ["zeppelin"]
    video = clip[:2]
    found = predictor.segment(video, ["the dog", "a"])
    assert found.masks.shape == (2, 2, 64, 96)
    folder = saved_model.saved_model(
        run, tmp_path / "authors", saved_model.Variant(64, 96)
    )
    file = saved_model.keras_file(run, tmp_path / "authors.keras")
    small, large = (
        keras_vas.load(path).segment(video, ["the dog"]).masks
        for path in (folder, file)
    )
    assert small.shape == large.shape == (2, 1, 64, 96)
    np.testing.assert_array_equal(large[:, 0], found.masks[:, 0])


def test_every_array_is_used_once(authors):
    state = authors[0].state
    for name, function in (
        ("cmam_t.2.vt.conv3d.weight", state_dict.convert),
        ("ires_trans.0.0.weight", state_dict.arguments),
    ):
        rest = {key: x for key, x in state.items() if key != name}
        with pytest.raises(UserError, match=f"lacks '{name}'"):
            function(rest, "a file")
    with pytest.raises(UserError, match=r"nobody knows its lgfs\.weight"):
        state_dict.convert({**state, "lgfs.weight": np.zeros(3)}, "a file")
    odd = {**state, "t_layer1.0.batch3d.bias": np.zeros((3, 5))}
    with pytest.raises(UserError, match="unknown shape"):
        state_dict.convert(odd, "a file")
    assert "conv_mask.3.0.weight" in state
    assert not any("mask_3" in path for path in state_dict.convert(state, "f"))


def test_the_cost_is_that_of_the_authors_program():
    """424.5 G multiply-adds, counted in theirs, with its five other heads."""
    costs = summary.count(AuthorsCSTM(), 320, 320, literal=True)
    found = summary.multiply_adds(costs)
    head = costs["decoder head"].multiply_adds
    assert head == pytest.approx(120.8e9, rel=1e-3)
    others = head * sum(1 / 4**i for i in range(1, 6))
    assert found + others == pytest.approx(424.5e9, rel=1e-3)


def test_corners_stay_corners():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    found = np.asarray(AlignedUpsampling()(x))
    expected = np.moveaxis(
        torch_checkpoint.Authors.doubled(np.moveaxis(x, -1, 1)), 1, -1
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, ::5, ::7], x[:, ::2, ::3])
    layer = AlignedUpsampling.from_config(AlignedUpsampling().get_config())
    assert layer.compute_output_shape((None, None, 4, 5)) == (None, None, 8, 5)


def test_checkpoints_of_pytorch_are_read(tmp_path):
    rng = np.random.default_rng(0)
    state = {
        "module.a": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "module.b": np.array(7),
        "module.c": rng.normal(size=3).astype(np.float16),
    }
    for content in (state, {"state_dict": state, "best": 0.5, "epoch": 3}):
        torch_checkpoint.save(tmp_path / "file.pth", content)
        found = torch_file.read(tmp_path / "file.pth")
        assert list(found) == ["a", "b", "c"]
        for name, array in found.items():
            np.testing.assert_array_equal(array, state[f"module.{name}"])


@pytest.mark.parametrize(
    "damage", ["cut", "legacy", "call", "large", "empty", "missing"]
)
def test_other_files_are_the_users_error(tmp_path, damage):
    path = tmp_path / "file.pth"
    state = {"a": np.zeros((4, 4), np.float32)}
    torch_checkpoint.save(path, {} if damage == "empty" else state)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "legacy":
        path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    elif damage == "missing":
        path.unlink()
    elif damage in ("call", "large"):
        rewrite(path, damage)
    with pytest.raises(UserError) as raised:
        torch_file.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def rewrite(path, damage):
    """Lets the pickle call another function, or claim a larger tensor."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = members["archive/data.pkl"]
    if damage == "call":
        changed = data.replace(
            b"ctorch._utils\n_rebuild_tensor_v2", b"cos\nsystem"
        )
    else:
        changed = data.replace(b"K\x04K\x04\x86", b"K\x04K\x05\x86", 1)
    assert changed != data
    members["archive/data.pkl"] = changed
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
