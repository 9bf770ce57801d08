"""Files from the network, whole and of the right checksum or not at all."""

import hashlib
import http.client
import json
import pathlib
import urllib.error
import urllib.parse
import urllib.request

from keras_vas import files

_TIMEOUT = 30  # seconds without a byte
_PIECE = 1 << 20
INDEX = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
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
        _check(path, kind, expected, f"{path}, which was there before,")
        return path
    try:
        with files.atomic_path(path) as temporary:
            _copy(url, temporary)
            _check(temporary, kind, expected, url)
    except _FAILURES as error:
        raise DownloadError(f"{url}: {reason(error)}") from error
    return path


def pypi_address(project, file_name, sha256):
    """Address of a file of a project on PyPI.

    Args:
        project: name of the project.
        file_name: name of one of its files.
        sha256: the checksum that the index must state for it.

    Returns:
        Text.

    Raises:
        DownloadError: no network, or the index has no such file.
    """
    url = f"{INDEX}/{project}/"
    request = urllib.request.Request(url, headers={"Accept": _JSON})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as page:
            entries = json.load(page)["files"]
            found = [e for e in entries if e["filename"] == file_name]
            stated = {entry["hashes"].get("sha256") for entry in found}
    except (*_FAILURES, KeyError, TypeError) as error:
        raise DownloadError(f"{url}: {reason(error)}") from error
    if not found:
        raise DownloadError(f"{url} lists no {file_name}")
    if stated != {sha256}:
        raise DownloadError(
            f"{url} states another sha256 for {file_name} than {sha256}"
        )
    return urllib.parse.urljoin(url, found[0]["url"])


def _copy(url, path):
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
        open(path, "wb") as file,
    ):
        length = response.headers.get("Content-Length")
        while piece := response.read(_PIECE):
            file.write(piece)
        if length is not None and file.tell() != int(length):
            raise DownloadError(
                f"{url} was cut short at {file.tell():,} of {int(length):,} "
                "bytes"
            )


def _check(path, kind, expected, what):
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
