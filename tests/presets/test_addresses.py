"""Models from a web server and from hubs."""

import hashlib
import inspect
import json
import pathlib
import subprocess
import sys
import types

import file_server
import numpy as np
import pytest
import small_run

import keras_vas
from keras_vas import files, presets
from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.presets import addresses, preset_file
from keras_vas.weights.cache import VARIABLE

KERAS, PRESET = "small.keras", "small.npz"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and its files by name."""
    folder = tmp_path_factory.mktemp("made")
    run = small_run.make(folder / "run")
    saved_model.keras_file(run, folder / KERAS)
    preset_file.fold(run, folder / PRESET)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(made):
    served = {f"/{n}": (made / n).read_bytes() for n in (KERAS, PRESET)}
    with file_server.serve(served) as server:
        yield server


def address(server, path, content=None):
    content = server.files[f"/{path}"] if content is None else content
    return f"{server.url}/{path}#sha256={hashlib.sha256(content).hexdigest()}"


def probability_of_first(model):
    frames = np.random.default_rng(3).integers(0, 255, (4, 40, 50, 3), np.uint8)
    (first, *_) = keras_vas.load(model).stream(frames, ["the bright square"])
    return np.asarray(first.probabilities)


@pytest.mark.parametrize("name", [KERAS, PRESET])
def test_a_web_servers_file_is_the_model(server, made, name):
    given = address(server, name)
    expected = probability_of_first(made / "run")
    found = probability_of_first(given)
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert np.ptp(expected) > 0.1
    assert keras_vas.load(given).about.name == name
    assert server.asked == [f"/{name}"]  # the second time from the cache
    run = presets.run_of(given)
    assert (run / "config.json").is_file()
    np.testing.assert_allclose(probability_of_first(run), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.partition("#")[0], "needs the checksum"),
        (lambda url: url[:-1], "needs the checksum"),
        (lambda url: url.replace(".npz", ".zip"), "names no file of export.py"),
        (lambda url: url[:-4] + "0000", "has the sha256"),
        (lambda url: url.replace("small", "none"), "404"),
        (lambda url: url.replace("/small", "/cut/small"), "cut short"),
        (lambda url: "http://127.0.0.1:1/" + url.rpartition("/")[2], "refused"),
    ],
)
def test_what_cannot_be_had_is_one_line(server, cache, change, said):
    with pytest.raises(UserError, match=said) as raised:
        keras_vas.load(change(address(server, PRESET)))
    assert "\n" not in str(raised.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def changed(made, **parts):
    with np.load(made / PRESET) as stored:
        arrays = dict(stored)
    about = json.loads(arrays["about"].tobytes()) | parts
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    path = made / "changed.npz"
    np.savez(path, **(arrays | {"about": text}))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda made: (made / PRESET).read_bytes()[:-2000], "no whole preset"),
        (lambda made: changed(made, version=99), "version 99"),
        (lambda made: changed(made, presence={"a": 1}), "no whole preset"),
        (lambda made: changed(made, words=["a b"]), "no whole preset"),
        (lambda made: changed(made, backbones={"x": "y"}), "no whole preset"),
        (lambda made: changed(made, backbones=None), "no whole preset"),
    ],
)
def test_a_file_that_is_no_preset_leaves_no_run(
    server, made, cache, make, said
):
    server.files["/bad.npz"] = make(made)
    with pytest.raises(UserError, match=said) as raised:
        keras_vas.load(address(server, "bad.npz"))
    assert "\n" not in str(raised.value)
    assert not list(cache.rglob("config.json"))


def test_a_cache_that_another_process_fills_is_one_line(server, cache):
    given = address(server, PRESET)
    with files.lock(cache / "presets" / "downloads"):
        with pytest.raises(UserError, match="another process is writing"):
            keras_vas.load(given)
    assert server.asked == []
    with files.lock(cache / "presets"):
        with pytest.raises(UserError, match="another process is writing"):
            keras_vas.load(given)
    assert not list(cache.rglob("config.json"))
    assert presets.run_of(given).is_dir()


def test_a_cached_file_needs_no_lock_and_is_checked(server, cache):
    given = address(server, PRESET)
    presets.run_of(given)
    with files.lock(cache / "presets" / "downloads"):
        assert presets.run_of(given).is_dir()
    (path,) = (cache / "presets" / "downloads").glob("*.npz")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="there before, has the sha256"):
        presets.run_of(given)
    assert len(server.asked) == 1


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Stands for both clients: `hub.folder` is what they download."""
    hub = types.SimpleNamespace(asked=[], folder=tmp_path / "hub")
    hub.folder.mkdir()

    def snapshot_download(
        repo_id, *, revision, allow_patterns, library_name, **_
    ):
        hub.asked.append((repo_id, revision, allow_patterns, library_name))
        return str(hub.folder)

    def model_download(handle):
        hub.asked.append(handle)
        return str(hub.folder)

    for name, function in (
        ("huggingface_hub", snapshot_download),
        ("kagglehub", model_download),
    ):
        module = types.ModuleType(name)
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, name, module)
    return hub


@pytest.mark.parametrize("name", [KERAS, PRESET])
def test_a_hubs_file_is_the_model(hub, made, name):
    (hub.folder / "deep").mkdir()
    (hub.folder / "deep" / name).symlink_to(made / name)
    (hub.folder / "README.md").write_text("a model")
    expected = probability_of_first(made / "run")
    for given in ("hf://someone/small", "kaggle://someone/small/keras/base/2"):
        found = probability_of_first(given)
        np.testing.assert_allclose(found, expected, atol=1e-2)
        assert keras_vas.load(given).about.name == given.partition("://")[2]
    patterns = ["*.npz", "*.keras"]
    assert hub.asked == [
        *[("someone/small", None, patterns, "keras_vas")] * 2,
        *["someone/small/keras/base/2"] * 2,
    ]
    assert presets.run_of("hf://someone/small@v2").is_dir()
    assert hub.asked[-1][:2] == ("someone/small", "v2")


def test_the_clients_take_what_they_are_given():
    """The stand-in above has the signature of the installed client."""
    client = pytest.importorskip("huggingface_hub")
    parameters = inspect.signature(client.snapshot_download).parameters
    assert {
        "repo_id", "revision", "allow_patterns", "library_name"
    } <= parameters.keys()  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hf://someone", "form hf://USER/MODEL"),
        ("hf://someone/small/more", "form hf://USER/MODEL"),
        ("kaggle://someone/small", "form kaggle://OWNER"),
        ("hf://someone/small", "holds 0 files"),
    ],
)
def test_a_hubs_address_that_means_nothing_is_one_line(hub, given, said):
    with pytest.raises(UserError, match=said) as raised:
        keras_vas.load(given)
    assert "\n" not in str(raised.value)


def test_two_files_of_a_hub_are_one_too_many(hub, made):
    for name in (KERAS, PRESET):
        (hub.folder / name).symlink_to(made / name)
    with pytest.raises(UserError, match="holds 2 files"):
        keras_vas.load("hf://someone/small")


def test_a_hub_that_is_not_there_is_one_line(hub, monkeypatch):
    def fails(handle):
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(sys.modules["kagglehub"], "model_download", fails)
    with pytest.raises(UserError, match="ConnectionError: no route") as raised:
        keras_vas.load("kaggle://someone/small/keras/base")
    assert "\n" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match="pip install kagglehub"):
        keras_vas.load("kaggle://someone/small/keras/base")


def test_programs_take_addresses(repository, server, made, tmp_path, cache):
    finished = subprocess.run(
        [
            sys.executable,
            "export.py",
            f"--workdir={address(server, KERAS)}",
            f"--output={tmp_path / 'again.npz'}",
            "--format=preset",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert "small.keras" in finished.stderr  # the progress bar
    before, again = (
        preset_file.read(path)[1]
        for path in (made / PRESET, tmp_path / "again.npz")
    )
    assert before.keys() == again.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, again[name])


def test_other_models_are_no_addresses():
    for model in ("cstm_davis", "runs/http", pathlib.Path("a"), "C:/hf://a"):
        assert not addresses.is_address(model)
