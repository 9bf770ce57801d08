"""Files of others: read whole, or refused before they take memory."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from keras_vas import packed_files
from keras_vas.errors import UserError

LARGE = 1 << 26


def read(reader, path):
    with packed_files.reading(path, "file", "get it again"):
        return reader(path)


def assert_refused_in_little_memory(reader, path, message):
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message) as caught:
            read(reader, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert peak < packed_files.SLACK + 10 * path.stat().st_size


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_are_those_of_numpy(save, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a/b": rng.normal(size=(3, 4)).astype("f4"),
        "turned": np.asfortranarray(rng.normal(size=(3, 4))),
        "big_endian": np.arange(5, dtype=">i2"),
        "none": np.zeros((0, 3)),
        "one": np.array(2.5),
        "words": np.array(["a", "bcd"]),
        "text": np.array('{"a": 1}'),
        "bits": np.array([True, False]),
    }
    save(tmp_path / "x.npz", **arrays)
    found = packed_files.read_npz(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].flags.writeable
    some = packed_files.read_npz(tmp_path / "x.npz", ["one", "words"])
    assert list(some) == ["one", "words"]


def npy(shape, data):
    """The bytes of an `.npy` file whose header says what it likes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + data


def write_zip(path, content, packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("a.npy", content)


def test_packed_zeros_are_not_unpacked(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(LARGE, np.uint8))
    assert path.stat().st_size < LARGE / 100
    assert_refused_in_little_memory(
        packed_files.read_npz, path, "content of 67,108,992 bytes is more than"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((1 << 40,), b"1234"), "1 numbers are no array"),
        (npy((-1, -1), b"1234"), "unknown dimension"),
        (npy((1,), b"123"), "multiple of element size"),
        (npy((1,), b"1234")[:20], "EOF"),
        (b"no array", "magic"),
    ],
)
def test_arrays_that_are_not_their_header(content, message, tmp_path):
    path = tmp_path / "x.npz"
    write_zip(path, content)
    assert_refused_in_little_memory(packed_files.read_npz, path, message)


def test_objects_and_other_packings_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{}], dtype=object))
    assert_refused_in_little_memory(
        packed_files.read_npz, path, "array of object"
    )
    write_zip(path, npy((1,), b"1234"), zipfile.ZIP_BZIP2)
    assert_refused_in_little_memory(packed_files.read_npz, path, "unknown way")


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("pipe", "pipe is no regular file"),
        ("", "is a folder"),
        ("none", "there is no file .*none; get it again"),
        ("none/x", "there is no file"),
    ):
        with pytest.raises(UserError, match=message):
            read(packed_files.read_npz, tmp_path / name)


def numbers(path):
    return packed_files.read_hdf5(path, path)


def test_arrays_of_an_hdf5_file(tmp_path):
    path = tmp_path / "x.h5"
    kernel = np.random.default_rng(0).normal(size=(3, 4))
    with h5py.File(path, "w") as file:
        file["a/kernel"] = kernel
        file.create_dataset("b", data=np.arange(100), compression="gzip")
        file["c"] = np.array([True, False])
    arrays, count = numbers(path)
    assert list(arrays) == ["a/kernel", "b", "c"]
    np.testing.assert_array_equal(arrays["a/kernel"], kernel)
    np.testing.assert_array_equal(arrays["b"], np.arange(100))
    assert count == 12 + 100 + 2
    arrays, count = packed_files.read_hdf5(
        io.BytesIO(path.read_bytes()), path, []
    )
    assert (arrays, count) == ({}, 114)


def unwritten(file, other):
    file.create_dataset("x", (1 << 38,), "f4")


def packed(file, other):
    file.create_dataset("x", data=np.zeros(LARGE, "u1"), compression="gzip")


def large_chunk(file, other):
    file.create_dataset(
        "x", (1,), "f4", maxshape=(None,), chunks=(1 << 29,), compression=1
    )


def external(file, other):
    file.create_dataset("x", (4,), "u1", external=[(str(other), 0, 4)])


def virtual(file, other):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(other), "x", (4,))
    file.create_virtual_dataset("x", layout)


def linked(file, other):
    file["group/x"] = h5py.ExternalLink(str(other), "x")


def texts(file, other):
    file["x"] = ["text"]


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (unwritten, "1,099,511,627,776 bytes is more than"),
        (packed, "67,108,864 bytes is more than"),
        (large_chunk, "2,147,483,648 bytes is more than"),
        (external, "x lies in another file"),
        (virtual, "x lies in another file"),
        (linked, "x lies in another file"),
        (texts, "x is an array of object"),
    ],
)
def test_hdf5_files_that_would_take_memory_or_other_files(
    fill, message, tmp_path
):
    other = tmp_path / "other"
    with h5py.File(other, "w") as file:
        file["x"] = np.arange(4, dtype="u1")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        fill(file, other)
    assert_refused_in_little_memory(numbers, tmp_path / "x.h5", message)


def members(path):
    with packed_files.open_tar(path) as (archive, found):
        return {x.name: archive.extractfile(x).read() for x in found}


def write_tar(path, entries):
    with tarfile.open(path, "w:gz") as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def test_regular_files_of_a_tar_archive(tmp_path):
    path = tmp_path / "x.tar.gz"
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    long = "d" * 150
    write_tar(
        path,
        [
            (tarfile.TarInfo("a/b"), b"1234"),
            (link, b""),
            (tarfile.TarInfo(long), b""),
        ],
    )
    assert members(path) == {"a/b": b"1234", long: b""}


def large_member():
    entry = tarfile.TarInfo("x")
    entry.size = LARGE
    return entry.tobuf() + bytes(LARGE)


def large_header():
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, LARGE
    return entry.tobuf() + bytes(LARGE)


def declared_member():
    entry = tarfile.TarInfo("x")
    entry.size = 1 << 40
    return entry.tobuf(tarfile.GNU_FORMAT) + b"little"


def many_members():
    return tarfile.TarInfo("x").tobuf() * (packed_files._MEMBERS + 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (large_member, "bytes is more than"),
        (large_header, "bytes is more than"),
        (declared_member, "bytes is more than"),
        (many_members, "more than 1,000 members"),
    ],
)
def test_tar_archives_that_would_take_memory(content, message, tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(content(), 1))
    assert_refused_in_little_memory(members, path, message)


def write_h5(path):
    with h5py.File(path, "w") as file:
        file["a/kernel"] = np.ones((3, 4))
        file.create_dataset("b", data=np.arange(100), compression="gzip")


def write_npz(path):
    with open(path, "wb") as file:
        np.savez(file, a=np.ones((3, 4)), text=np.array("text"))


@pytest.mark.parametrize(
    ("write", "reader"),
    [
        (write_npz, packed_files.read_npz),
        (write_h5, numbers),
        (
            lambda path: write_tar(path, [(tarfile.TarInfo("a"), b"1234")]),
            members,
        ),
    ],
    ids=["npz", "h5", "tar"],
)
def test_damage_is_one_line(write, reader, tmp_path):
    """Flipped bits and cuts: the content, or a UserError; nothing else."""
    path = tmp_path / "x"
    write(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = []
    for trial in range(300):
        data = bytearray(whole)
        if trial % 3:
            for place in rng.integers(0, len(data), 1 + trial % 5):
                data[place] ^= 1 << int(rng.integers(8))
        else:
            del data[int(rng.integers(len(data))) :]
        path.write_bytes(data)
        try:
            read(reader, path)
        except UserError as error:
            refused.append(str(error))
    assert len(refused) >= 100
    assert "\n" not in "".join(refused)
