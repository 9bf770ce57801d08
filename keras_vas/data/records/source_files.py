"""Reading the lists that come with a data set on disk."""

import csv
import hashlib
import pathlib

from keras_vas import errors


def require_folder(path, what):
    """Returns `path`, which must be a folder that is not empty.

    Args:
        path: str or `pathlib.Path`.
        what: what should be in it, for the message.

    Raises:
        UserError: it is missing or empty.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise errors.UserError(
            f"there is no folder {path}, which should hold {what}; check "
            "--source (its layout is in tfrecords/README.md)"
        )
    if not any(path.iterdir()):
        raise errors.UserError(
            f"{path} is empty, but should hold {what}; check --source (its "
            "layout is in tfrecords/README.md)"
        )
    return path


def read_rows(path, what):
    """Reads a CSV file.

    Args:
        path: `pathlib.Path` of a UTF-8 file.
        what: what should be in it, for the message.

    Returns:
        List of (line number, list of str), without blank lines.

    Raises:
        UserError: there is no such file, or it is no text or no CSV.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            return [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError as error:
        raise errors.UserError(
            f"there is no file {path}, which should hold {what}; check "
            "--source (its layout is in tfrecords/README.md)"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise errors.UserError(
            f"{path}, which should hold {what}, is no UTF-8 CSV file: {error}"
        ) from error


def fingerprint(root, paths):
    """A digest that changes when a file does, by its size and its time.

    Args:
        root: folder that the names are relative to.
        paths: of files; those that are missing count as such.

    Returns:
        str.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{path.relative_to(root)} {state}\n".encode())
    return digest.hexdigest()
