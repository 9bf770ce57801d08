"""Files of weights, whole, hostile and damaged."""

import io
import os
import pickle
import tarfile

import h5py
import numpy as np
import published_weights as published
import pytest

from keras_vas.errors import UserError
from keras_vas.weights import containers, porting

ARRAYS = {
    "one/kernel": published.telling((3, 3, 2, 4), 1),
    "one/bias": published.telling((4,), 2),
    "two/kernel": published.telling((4, 5), 3),
}


def test_package_of_npm_gives_the_arrays_of_its_network(tmp_path):
    path = tmp_path / "package.tgz"
    published.write_npm(path, ARRAYS)
    found = containers.read(path)
    assert found.form == "package"
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def manifest(**changes):
    """A function that changes the first group of a manifest."""
    return lambda model: model["weightsManifest"][0].update(changes)


def entry(**changes):
    return lambda model: model["weightsManifest"][0]["weights"][0].update(
        changes
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry(quantization={"dtype": "uint8"}), "one/kernel is packed"),
        (entry(dtype="int32"), "one/kernel is packed"),
        (entry(shape=[1 << 40]), "smaller than requested size"),
        (entry(shape=[1]), "384 bytes instead of 100"),
        (entry(shape="text"), "TypeError"),
        (manifest(paths=["shard1of2.bin"] * 9), "KeyError"),
        (manifest(paths=["../../other"]), "KeyError"),
        (lambda model: model.clear(), "weightsManifest"),
        (lambda model: model.update(a="a" * (1 << 22)), "json is too large"),
    ],
)
def test_networks_that_do_not_fit_their_files(change, message, tmp_path):
    path = tmp_path / "package.tgz"
    published.write_npm(path, ARRAYS, change)
    with pytest.raises(UserError, match=f"no whole file of .*{message}"):
        containers.read(path)


def test_package_with_no_or_two_files_of_weights(tmp_path):
    path = tmp_path / "package.tgz"
    for count in (0, 2):
        with tarfile.open(path, "w:gz") as archive:
            for number in range(count):
                archive.addfile(tarfile.TarInfo(f"{number}.pkl"), io.BytesIO())
        with pytest.raises(UserError, match=f"holds {count} files of weights"):
            containers.read(path)


def test_pipes_are_not_waited_for(tmp_path):
    for name in ("x.npz", "x.h5", "x.pkl", "x.tar.gz"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="no regular file"):
            containers.read(tmp_path / name)
    (tmp_path / "module" / "variables").mkdir(parents=True)
    (tmp_path / "module" / "saved_model.pb").touch()
    os.mkfifo(tmp_path / "module" / "variables" / "variables.index")
    with pytest.raises(UserError, match=r"index is no regular file"):
        containers.read(tmp_path / "module")


def test_damaged_module_is_one_line(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"\x07")
    (tmp_path / "variables" / "variables.index").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="TensorFlow Hub cannot load") as failed:
        containers.read(tmp_path)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("told", ["no JSON", "[]", '{"architecture": "i3d"}'])
def test_ported_file_with_other_metadata(told, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, keras_vas_weights=np.array(told))
    with pytest.raises(UserError, match=r"no whole ported file.*port it"):
        porting.read(path, "i3d")


def write_pickle(path):
    path.write_bytes(pickle.dumps({"one": {"kernel": ARRAYS["one/kernel"]}}))


def write_sdist(path):
    published.write_sdist(path, {"one|kernel": ARRAYS["one/kernel"]})


def write_npz(path):
    np.savez(path, **ARRAYS)


def write_h5(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["one"]
        for name, array in ARRAYS.items():
            file[name] = array


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.npz", write_npz),
        ("x.h5", write_h5),
        ("x.pkl", write_pickle),
        ("x.tar.gz", write_sdist),
        ("x.tgz", lambda path: published.write_npm(path, ARRAYS)),
    ],
)
def test_flipped_bits_are_one_line(name, write, tmp_path):
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(len(name))
    said = []
    for trial in range(200):
        data = bytearray(whole)
        # Headers are where a flip does most; they begin the files.
        end = len(data) if trial % 2 else min(len(data), 1000)
        for place in rng.integers(0, end, 1 + trial % 3):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            containers.read(path)
        except UserError as error:
            said.append(str(error))
    assert len(said) >= 40
    assert "\n" not in "".join(said)
    assert all(str(path) in text for text in said)
