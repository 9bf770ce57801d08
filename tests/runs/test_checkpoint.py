"""Checkpoints: whole or not there, and strict about what they hold."""

import json
import resource
import shutil

import numpy as np
import pytest

from keras_vas import CSTM
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models.variables import model_variables, training_only
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.training import initialisation

NARROW = {
    "width": 0.125,
    "embedding_dim": 8,
    "coordinate_fusion": "linear",
    "cmam_stages": (5,),
}
ARRAYS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optimizer/step": np.array(7, np.int64),
}


def make_run(run, words="abc", vectors=None, **config):
    """A finished run with untrained weights; returns its model."""
    vocabulary = Vocabulary(words)
    config = {"vocabulary_size": len(vocabulary), **NARROW, **config}
    model = CSTM(**config, deep_supervision=True)
    if vectors is not None:
        model.get_layer("word_embedding").set_weights([vectors])
    run_directory.start(
        run,
        flags={"frame_height": 32, "frame_width": 32},
        architecture="cstm",
        model=model.inference_config(),
        data_manifest={},
        words=vocabulary.words,
    )
    checkpoint.save(
        run_directory.best_path(run),
        checkpoint.read(model_variables(model)),
        {"training_only": training_only(model)},
    )
    return model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Spatial run, temporal run, and their models."""
    folder = tmp_path_factory.mktemp("runs")
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    models = [
        make_run(folder / name, vectors=vectors, encoders=name)
        for name in ("spatial", "temporal")
    ]
    return folder / "spatial", folder / "temporal", *models


def test_save_and_load(tmp_path):
    path = tmp_path / "new" / "last.npz"
    metadata = {"step": 3, "best": {"mean_iou": 0.1 + 0.2}, "totals": None}
    checkpoint.save(path, ARRAYS, metadata)
    arrays, found = checkpoint.load(path)
    assert found == metadata
    assert checkpoint.load_metadata(path) == metadata
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_nan_is_never_written(tmp_path):
    path = tmp_path / "last.npz"
    checkpoint.save(path, ARRAYS, {"step": 1})
    broken = {**ARRAYS, "b/bias": np.array([1.0, np.nan], np.float32)}
    with pytest.raises(UserError, match=r"NaN.*b/bias"):
        checkpoint.save(path, broken, {"step": 2})
    assert checkpoint.load_metadata(path) == {"step": 1}


def test_full_disk_keeps_the_previous_checkpoint(tmp_path):
    path = tmp_path / "last.npz"
    checkpoint.save(path, ARRAYS, {"step": 1})
    large = {"a/kernel": np.ones(100_000, np.float32)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write.*last\.npz"):
            checkpoint.save(path, large, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.load_metadata(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.npz"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_damaged_file_is_named(tmp_path, keep):
    path = tmp_path / "last.npz"
    checkpoint.save(path, ARRAYS, {"step": 1})
    whole = path.read_bytes()
    size = keep if isinstance(keep, int) else int(keep * len(whole))
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"last\.npz is no whole checkpoint"):
        checkpoint.load(path)


def test_foreign_and_missing_files_are_named(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(UserError, match=r"other\.npz is no whole checkpoint"):
        checkpoint.load(tmp_path / "other.npz")
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(UserError, match="is no run of train"):
        run_directory.load_run(tmp_path)


def test_another_architecture_is_described(runs):
    _, _, model, _ = runs
    variables = model_variables(model)
    arrays = checkpoint.read(variables)
    kernels = [path for path in arrays if path.endswith("kernel")]
    first, second, third = kernels[:3]
    before = arrays[second].copy()
    wrong = {**arrays, "z/extra": np.ones(2), second: arrays[second] + 1}
    del wrong[first]
    wrong[third] = np.ones((1, 2))
    with pytest.raises(UserError) as caught:
        checkpoint.assign(variables, wrong, "RUN/best.npz")
    message = str(caught.value)
    assert "RUN/best.npz is of another architecture" in message
    assert f"1 missing ({first})" in message
    assert "1 unexpected (z/extra)" in message
    assert f"1 of other shape ({third} (1, 2) instead of" in message
    np.testing.assert_array_equal(variables[second].numpy(), before)


def test_load_run_gives_the_same_masks_without_training_heads(runs):
    run, _, model, _ = runs
    loaded, vocabulary, config = run_directory.load_run(run)
    assert vocabulary.words == tuple("abc")
    assert config["model"]["encoders"] == "spatial"
    assert list(loaded.output) == ["mask_logits"]
    dropped = len(model.variables) - len(loaded.variables)
    assert dropped == len(training_only(model)) > 10
    rng = np.random.default_rng(1)
    inputs = {
        "frames": rng.uniform(0, 255, (1, 8, 32, 64, 3)).astype("float32"),
        "tokens": np.array([[2, 3, 4, 0]], np.int32),
    }
    expected, found = (
        np.asarray(m(inputs)["mask_logits"]) for m in (model, loaded)
    )
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_load_run_of_another_architecture(runs, tmp_path):
    run, _, _, _ = runs
    (tmp_path / "checkpoints").mkdir()
    for name in ("vocabulary.txt", "checkpoints/best.npz"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    config = json.loads((run / "config.json").read_text())
    config["model"]["width"] = 0.15
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"another architecture.*other shape"):
        run_directory.load_run(tmp_path)


def test_encoders_of_two_runs(runs):
    spatial_run, temporal_run, spatial, temporal = runs
    joint = CSTM(vocabulary_size=5, **NARROW)
    before = checkpoint.read(model_variables(joint))
    initialisation.assign_encoders(
        joint, {"spatial": spatial_run, "temporal": temporal_run}
    )
    after = checkpoint.read(model_variables(joint))
    sources = {
        "spatial_": checkpoint.read(model_variables(spatial)),
        "temporal_": checkpoint.read(model_variables(temporal)),
    }
    taken = 0
    for path, array in after.items():
        for prefix, arrays in sources.items():
            if path.startswith((prefix, "word_embedding")):
                np.testing.assert_array_equal(array, arrays[path])
                taken += 1
        if path.startswith("decoder_"):
            np.testing.assert_array_equal(array, before[path])
    assert taken > 500
    assert all(
        path.startswith(("spatial_", "temporal_", "decoder_", "word_"))
        for path in after
    )


def test_word_vectors_must_agree(runs, tmp_path):
    spatial_run = runs[0]
    make_run(tmp_path, vectors=np.ones((5, 8)), encoders="temporal")
    joint = CSTM(vocabulary_size=5, **NARROW)
    with pytest.raises(UserError, match=r"word vectors of .* differ"):
        initialisation.assign_encoders(
            joint, {"spatial": spatial_run, "temporal": tmp_path}
        )


def without_manifest(run):
    """A run as an earlier version wrote it, which has nothing to compare."""
    (run / run_directory.MANIFEST).unlink()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda config: [config], "is not the config.json"),
        (lambda config: {**config, "flags": None}, "is not the config.json"),
        (
            lambda config: {**config, "flags": {"frame_height": "a"}},
            "is not the config.json",
        ),
        (
            lambda config: {
                **config,
                "flags": {"frame_height": 2**20, "frame_width": 32},
            },
            "is not the config.json",
        ),
        (lambda config: {**config, "model": [1]}, "is not the config.json"),
        (lambda config: {**config, "model": {"with": 2}}, "cannot be built"),
        (lambda config: {**config, "architecture": "x"}, "cannot be built"),
        (lambda config: {**config, "architecture": [1]}, "cannot be built"),
        (
            lambda config: {**config, "model": {**config["model"], "width": 0}},
            "cannot be built",
        ),
    ],
)
def test_an_edited_config_is_one_line(runs, tmp_path, edit, message):
    run = shutil.copytree(runs[0], tmp_path / "run")
    without_manifest(run)
    path = run / "config.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=message) as error:
        run_directory.load_run(run)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 1e300},
        {"vocabulary_size": 10**12},
    ],
)
def test_a_model_much_larger_than_its_checkpoint_is_not_built(runs, change):
    config = run_directory.read_config(runs[0])
    changed = {**config, "model": {**config["model"], **change}}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="a much larger model"):
        run_directory.build_model(changed, "RUN/config.json", 500_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # KiB


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt"])
def test_a_file_that_is_not_what_was_written_is_named(runs, tmp_path, name):
    tmp_path = shutil.copytree(runs[0], tmp_path / "run")
    place = (tmp_path / name).read_bytes().index(b"a") if name < "m" else 0
    flip(tmp_path / name, place)
    for read in (run_directory.load_run, run_directory.read_config):
        with pytest.raises(UserError, match="was edited or is damaged") as e:
            read(tmp_path)
        assert str(tmp_path / name) in str(e.value)
        assert "remove" in str(e.value)
    flip(tmp_path / name, place)
    (tmp_path / "notes.txt").write_text("a user's own")
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    run_directory.read_config(moved)
    without_manifest(moved)
    run_directory.read_config(moved)


def test_a_manifest_that_is_none_is_named(runs, tmp_path):
    tmp_path = shutil.copytree(runs[0], tmp_path / "run")
    for text in ("[]", "{", '{"checkpoints": 3}', '{"no/such": {}}'):
        (tmp_path / run_directory.MANIFEST).write_text(text)
        with pytest.raises(UserError, match=str(tmp_path)):
            run_directory.read_config(tmp_path)


def test_a_folder_with_a_vocabulary_of_its_user_is_no_begun_run(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("mine\n")
    with pytest.raises(UserError, match=r"holds vocabulary\.txt"):
        run_directory.is_run(tmp_path)
    (tmp_path / run_directory.MANIFEST).write_text('{"mine": 1}')
    with pytest.raises(UserError, match=r"holds manifest\.json"):
        run_directory.is_run(tmp_path)


def test_numbers_that_were_written_by_others_are_named(tmp_path):
    path = tmp_path / "best.npz"
    checkpoint.save(path, ARRAYS, {"step": 1})
    with np.load(path) as stored:
        entries = dict(stored)
    np.savez(path, **entries)
    checkpoint.load(path)
    for change in (
        {"a/kernel": entries["a/kernel"] + 1},
        {"a/kernel": entries["a/kernel"].reshape(3, 2)},
        {"metadata": np.array(str(entries["metadata"]).replace("1", "2", 1))},
    ):
        np.savez(path, **{**entries, **change})
        with pytest.raises(UserError, match=r"best\.npz.*not what was written"):
            checkpoint.load(path)
    np.savez(path, **{**ARRAYS, "metadata": np.array('{"step": 1}')})
    arrays, metadata = checkpoint.load(path)  # of an earlier version
    assert metadata == {"step": 1}
    assert arrays.keys() == ARRAYS.keys()


def test_a_vocabulary_of_another_length_is_one_line(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    without_manifest(run)
    with open(run / "vocabulary.txt", "a") as file:
        file.write("more\n")
    with pytest.raises(UserError, match=r"has 4 words.*trained with 3"):
        run_directory.load_run(run)
