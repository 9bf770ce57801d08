"""Files from the network, whole and of the right checksum or not at all."""

import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request

import tqdm

from keras_vas import files

_TIMEOUT = 30  # seconds without a byte
_PIECE = 1 << 20
_FAILURES = (OSError, http.client.HTTPException, ValueError)


class DownloadError(Exception):
    """A source does not have what it should; the message says why."""


def download(url, path, *, sha256=None, md5=None):
    """Downloads one file, unless it is there already.

    Args:
        url: its address.
        path: where to put it. It appears there once it is whole.
        sha256: hexadecimal checksum that it must have, if known.
        md5: the same, MD5.

    Returns:
        `pathlib.Path`, `path`.

    Raises:
        DownloadError: no network, no such file, cut short, or of another
            checksum; also if another file stands at `path`.
    """
    path = pathlib.Path(path)
    kind, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    if path.exists():
        check(path, kind, expected, f"{path}, there before,")
        return path
    try:
        with files.atomic_path(path) as temporary:
            _copy(url, temporary)
            check(temporary, kind, expected, url)
    except _FAILURES as error:
        raise DownloadError(f"{url}: {reason(error)}") from error
    return path


def _copy(url, path):
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
        open(path, "wb") as file,
    ):
        length = response.headers.get("Content-Length")
        length = length and int(length)
        name = url.rpartition("/")[2]
        with tqdm.tqdm(
            total=length, unit="B", unit_scale=True, desc=name
        ) as bar:
            while piece := response.read(_PIECE):
                file.write(piece)
                bar.update(len(piece))
        if length is not None and file.tell() != length:
            raise DownloadError(
                f"{url} was cut short at {file.tell():,} of {length:,} bytes"
            )


def check(path, kind, expected, what):
    """Raises a DownloadError if a file has another checksum.

    Args:
        path: of the file.
        kind: `"sha256"` or `"md5"`.
        expected: hexadecimal checksum; any will do if None.
        what: the message calls the file.
    """
    if expected is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != expected:
        raise DownloadError(
            f"{what} has the {kind} {found} instead of {expected}"
        )


def reason(error):
    """One line: the kind of an exception and what it says."""
    said = error
    if type(error) is urllib.error.URLError:  # its own text adds brackets
        said = error.reason
    return " ".join(f"{type(error).__name__}: {said}".split())
