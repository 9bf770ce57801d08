"""Files that others made, read within bounds.

A file may be damaged, cut short, or made to harm whoever opens it. `reading`
lets regular files through and says in one line whatever goes wrong; the
readers hold what a file says of its sizes against its own size before they
take any memory for it.
"""

import contextlib
import gzip
import io
import math
import os
import stat
import tarfile
import zipfile

import numpy as np

from keras_vas.errors import UserError

RATIO = 8  # weights, vectors and frames shrink less when they are packed
SLACK = 1 << 24  # bytes
NUMBERS = "biuf"
_MEMBERS = 1_000
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextlib.contextmanager
def reading(path, what, advice, missing=None):
    """Turns whatever goes wrong while a file is read into a UserError.

    Args:
        path: of the file that the block reads.
        what: it should be, such as `"checkpoint"`.
        advice: what to do if it is damaged, the end of the message.
        missing: what to do if there is none; `advice` if None.

    Raises:
        UserError: there is no such file, it is no regular file (a pipe would
            be waited for), or the block raises anything.
    """
    try:
        check_regular(path)
        yield
    except UserError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"there is no {what} {path}; {missing or advice}"
        ) from error
    except Exception as error:
        raise UserError(
            f"{path} is no whole {what} ({one_line(error)}); {advice}"
        ) from error


def check_regular(path):
    """Raises a UserError if `path` is there and is no regular file."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise UserError(f"{path} is {kind}; name a file")


def one_line(error):
    """What an exception says, in one line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def largest(path):
    """How many bytes the content of a packed file may have: int."""
    return RATIO * os.path.getsize(path) + SLACK


def read_npz(path, names=None):
    """Reads arrays of numbers or text from a NumPy archive.

    Args:
        path: of an `.npz` file.
        names: of the wanted arrays; all if None.

    Returns:
        Dict of name to array.

    Raises:
        Exception: of any kind; read within `reading`.
    """
    if names is not None:
        names = [f"{name}.npy" for name in names]
    members = read_zip(path, names)
    return {
        name.removesuffix(".npy"): _array(members.pop(name))
        for name in list(members)
    }


def _array(data):
    """The array in the bytes of an `.npy` file."""
    file = io.BytesIO(data)
    header = _HEADERS[np.lib.format.read_magic(file)]
    shape, fortran, dtype = header(file)
    if dtype.kind not in NUMBERS + "U":
        raise ValueError(f"it holds an array of {dtype}")
    values = np.frombuffer(data, dtype, offset=file.tell())
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} numbers are no array {shape}")
    return values.reshape(shape, order="F" if fortran else "C").copy()


def read_zip(path, names=None):
    """Reads members of a zip archive.

    Args:
        path: of the archive.
        names: of the wanted members; all if None.

    Returns:
        Dict of name to bytes.

    Raises:
        Exception: of any kind; read within `reading`.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type not in _PACKINGS for member in members):
            raise ValueError("a member is packed in an unknown way")
        _check_size(sum(member.file_size for member in members), path)
        if names is None:
            names = dict.fromkeys(archive.namelist())
        return {name: archive.read(name) for name in names}


def read_hdf5(file, path, names=None):
    """Reads the arrays of numbers in an HDF5 file.

    Args:
        file: path, or file object.
        path: of the file that these bytes lie in, which bounds the arrays.
        names: of the wanted arrays; all if None, none of `()`.

    Returns:
        `(arrays, numbers)`: dict of full name to array; int, how many
        numbers all arrays in the file have together.

    Raises:
        Exception: of any kind, if any array in the file is no array of
            numbers, lies in another file, or is larger than the file can
            hold; read within `reading`.
    """
    import h5py

    arrays, found, links = {}, {}, {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)
        opened.visititems_links(links.__setitem__)
        for name, link in links.items():
            if isinstance(link, h5py.ExternalLink):
                raise ValueError(f"{name} lies in another file")
        size = 0
        for name, item in found.items():
            if item.dtype.kind not in NUMBERS:
                raise ValueError(f"{name} is an array of {item.dtype}")
            if item.external or item.is_virtual:
                raise ValueError(f"{name} lies in another file")
            count = max(item.size, math.prod(item.chunks or ()))
            size += count * item.dtype.itemsize
        _check_size(size, path)
        for name in found if names is None else names:
            arrays[name] = found[name][()]
        return arrays, sum(item.size for item in found.values())


@contextlib.contextmanager
def open_tar(path):
    """Opens a gzipped tar archive.

    Args:
        path: of the archive.

    Yields:
        `(archive, members)`: `tarfile.TarFile`, and the list of its regular
        files, `tarfile.TarInfo`.

    Raises:
        Exception: of any kind; open it within `reading`.
    """
    with (
        _BoundedGzip(path) as file,
        tarfile.open(fileobj=file, mode="r:") as archive,
    ):
        members = []
        for count, member in enumerate(archive, 1):
            _check_size(member.offset_data + member.size, path)
            if count > _MEMBERS:
                raise ValueError(f"it has more than {_MEMBERS:,} members")
            if member.isreg() and not member.issparse():
                members.append(member)
        while file.read(1 << 16):
            pass  # the checksum is at the end
        yield archive, members


class _BoundedGzip(gzip.GzipFile):
    """A gzip file that refuses to unpack more than `largest` bytes."""

    def __init__(self, path):
        super().__init__(path, "rb")
        self._path = path

    def read(self, size=-1):
        """Reads `size` bytes, which must be given."""
        if size < 0:
            raise ValueError("a length is needed")
        _check_size(self.tell() + size, self._path)
        return super().read(size)


def _check_size(size, path):
    if size > largest(path):
        raise ValueError(
            f"its content of {size:,} bytes is more than a file of "
            f"{os.path.getsize(path):,} bytes holds"
        )
