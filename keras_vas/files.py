"""Files that are whole or not there, and folders that one process writes."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import tempfile

from keras_vas.errors import UserError

UNFINISHED = ".keras_vas-unfinished"
_LOCK = ".keras_vas-lock"
_MARK = ".keras_vas-"
_TEMPORARY = re.compile(rf"\..*{re.escape(_MARK)}[a-z0-9_]{{8}}(\.[^.]*)?")


@contextlib.contextmanager
def atomic_path(path):
    """Yields a temporary path beside `path`, renamed to it on success.

    The file written at the temporary path is flushed to disk and takes the
    final name in one step, so that a killed program never leaves half a file
    under a final name. If the block raises, the temporary file is removed
    and whatever stood at `path` stays.

    Args:
        path: final path; its folder is made if it is missing.

    Yields:
        `pathlib.Path` of an empty file in the same folder, with the same
        suffix as `path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}{_MARK}", suffix=path.suffix
    )
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_manifest(folder, path):
    """Writes the sizes and checksums of all files below a folder.

    Args:
        folder: `pathlib.Path`.
        path: `pathlib.Path` of the JSON file below it.
    """
    manifest = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with open(file, "rb") as opened:
                manifest[str(file.relative_to(folder))] = fingerprint(opened)
    write_json(path, manifest)


def check_manifest(folder, path, advice):
    """Compares the files below a folder with its manifest.

    Args:
        folder: `pathlib.Path`.
        path: of the JSON file; where there is none, nothing is compared.
        advice: what to do if a file differs, the end of the message.

    Raises:
        UserError: a file is missing, or is not what was written.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        return
    manifest = read_json(path, advice)
    if not isinstance(manifest, dict):
        raise UserError(f"{path} is no manifest; {advice}")
    for name, expected in manifest.items():
        file = pathlib.Path(folder, name)
        if not file.is_file():
            raise UserError(f"there is no file {file}; {advice}")
        with open(file, "rb") as opened:
            if fingerprint(opened) != expected:
                raise UserError(
                    f"{file} was edited or is damaged: it is not what was "
                    f"written; {advice}"
                )


def fingerprint(file):
    """Size and checksum of a file that is open for reading bytes: dict."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": file.seek(0, os.SEEK_END), "sha256": digest}


def version_folders(folder):
    """Paths in a folder whose names are whole numbers, by that number.

    Args:
        folder: need not exist.
    """
    folder = pathlib.Path(folder)
    numbered = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.isascii() and path.name.isdigit()
    ]
    return sorted(numbered, key=lambda path: int(path.name))


def write_lines(path, lines):
    """Writes a UTF-8 text file of some lines, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )


def is_temporary(name):
    """Whether a file of this name is one of `atomic_path`, or of `lock`."""
    return name == _LOCK or _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder):
    """Removes the files that a killed process left of `atomic_path`.

    Args:
        folder: may be missing. Hold its `lock`: another process may be
            writing.
    """
    for path in pathlib.Path(folder).glob(f".*{_MARK}*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


@contextlib.contextmanager
def lock(folder, named=None):
    """Keeps other processes from writing in a folder.

    It ends with the process, however that ends. The file that is locked is
    one that NFS can lock too, and is removed in the end.

    Args:
        folder: made if it is missing.
        named: what messages call it; by default its path.

    Raises:
        UserError: another process holds the lock.
    """
    path = pathlib.Path(folder, _LOCK)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process is writing to {named or folder}; wait "
                    "until it is done, or name another folder"
                ) from error
            # Its holder may have removed the file since it was opened.
            if not _is_at(path, file):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path, file):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def write_json(path, content):
    """Writes a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path, advice):
    """Reads a JSON file.

    Args:
        path: of a UTF-8 file.
        advice: what to do if it cannot be read, the end of the message.

    Raises:
        UserError: there is no such file, or no JSON in it.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file; {advice}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file {path}; {advice}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no JSON text ({error}); {advice}"
        ) from error


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
