"""Mask files that are damaged in any way: two errors, little memory."""

import os
import random
import resource

import h5py
import numpy as np
import pytest
import scipy.io

from keras_vas.data.records import mask_files

NAMES = ("instance", "reMask")
MASKS = np.zeros((2, 40, 30), np.uint8)
MASKS[0, 3:9, 5:20] = MASKS[1, 20:30, 2:9] = 1
GIGABYTE = 2**30


def write_h5(path, masks=MASKS, **options):
    with h5py.File(path, "w") as file:
        file["instance"] = np.array([1.0, 2.0])
        file.create_dataset("reMask", data=masks, **options)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_h5_arrays_are_read(tmp_path, options):
    write_h5(tmp_path / "a.h5", **options)
    numbers, masks = mask_files.read_h5(tmp_path / "a.h5", NAMES)
    np.testing.assert_array_equal(numbers, [1, 2])
    np.testing.assert_array_equal(masks, MASKS)


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_arrays_are_read(tmp_path, compressed):
    path = tmp_path / "a.mat"
    arrays = {"other": np.ones(3), "part_mask": MASKS}
    scipy.io.savemat(path, arrays, do_compression=compressed)
    found = mask_files.read_mat(path, "part_mask")
    np.testing.assert_array_equal(found, MASKS)
    assert found.dtype == np.uint8
    with pytest.raises(mask_files.MissingArrayError):
        mask_files.read_mat(path, "mask")


def huge(file):
    file.create_dataset("reMask", (GIGABYTE, 1024), np.uint8)


def huge_chunk(file):
    file.create_dataset(
        "reMask", (2, 4), np.uint8, chunks=(GIGABYTE, 2), maxshape=(None, None)
    )


def group(file):
    file.create_group("reMask")


def texts(file):
    file["reMask"] = ["a", "b"]


def lengths_that_vary(file):
    kind = h5py.vlen_dtype(np.uint8)
    file.create_dataset("reMask", (2,), kind)


def compound(file):
    file["reMask"] = np.zeros(2, [("a", "u1"), ("b", "f8")])


def nothing_in_it(file):
    file["reMask"] = h5py.Empty("u1")


def link_to_another_file(file):
    other = os.path.join(os.path.dirname(file.filename), "other.h5")
    write_h5(other)
    file["reMask"] = h5py.ExternalLink(other, "reMask")


def link_to_nothing(file):
    file["reMask"] = h5py.SoftLink("/nowhere")


def bytes_of_another_file(file):
    other = os.path.join(os.path.dirname(file.filename), "other")
    with open(other, "wb") as target:
        target.write(MASKS.tobytes())
    file.create_dataset(
        "reMask", MASKS.shape, np.uint8, external=[(other, 0, MASKS.size)]
    )


def view_of_another_file(file):
    other = os.path.join(os.path.dirname(file.filename), "other.h5")
    write_h5(other)
    layout = h5py.VirtualLayout(MASKS.shape, np.uint8)
    layout[:] = h5py.VirtualSource(other, "reMask", MASKS.shape)
    file.create_virtual_dataset("reMask", layout)


@pytest.mark.parametrize(
    "make",
    [
        huge, huge_chunk, group, texts, lengths_that_vary, compound,
        nothing_in_it, link_to_another_file, link_to_nothing,
        bytes_of_another_file, view_of_another_file,
    ],
)  # fmt: skip
def test_other_things_than_arrays_are_refused(tmp_path, make):
    path = tmp_path / "a.h5"
    try:
        with h5py.File(path, "w") as file:
            file["instance"] = np.array([1.0, 2.0])
            make(file)
    except ValueError:
        # Some HDF5 libraries refuse to write such a chunk.
        assert make is huge_chunk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        (mask_files.UnreadableError, mask_files.MissingArrayError)
    ):
        mask_files.read_h5(path, NAMES)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100_000


@pytest.mark.parametrize("read", [mask_files.read_h5, mask_files.read_mat])
def test_only_regular_files_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(mask_files.UnreadableError):
            read(path, "part_mask")


def test_mat_variables_of_other_kinds_are_refused(tmp_path):
    for value in (
        np.array([MASKS, "a"], object),
        {"a": MASKS},
        "a text",
        scipy.sparse.csc_matrix(MASKS[0]),
        MASKS + 1j,
    ):
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"part_mask": value})
        with pytest.raises(mask_files.UnreadableError):
            mask_files.read_mat(path, "part_mask")
    write_h5(path)  # as MATLAB 7.3 writes
    with pytest.raises(mask_files.UnreadableError):
        mask_files.read_mat(path, "part_mask")


def damaged(whole, count):
    """Flips, also in the headers alone, and cuts."""
    rng = random.Random(0)
    for i in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 1, 2, 9))):
            end = len(data) if i % 2 else min(len(data), 1000)
            data[rng.randrange(end)] ^= 1 << rng.randrange(8)
        yield data if i % 10 else data[: rng.randrange(len(data))]


@pytest.mark.parametrize("kind", ["h5", "gzip", "mat"])
def test_flips_and_cuts_raise_nothing_else(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "mat":
        scipy.io.savemat(path, {"part_mask": MASKS}, appendmat=False)
        read = lambda: mask_files.read_mat(path, "part_mask")  # noqa: E731
    else:
        write_h5(path, compression="gzip" if kind == "gzip" else None)
        read = lambda: mask_files.read_h5(path, NAMES)  # noqa: E731
    refused = 0
    for data in damaged(path.read_bytes(), 600):
        path.write_bytes(data)
        try:
            read()
        except (mask_files.UnreadableError, mask_files.MissingArrayError):
            refused += 1
    assert 50 < refused < 600
