"""Reading the lists that come with a data set on disk."""

import csv
import pathlib
import re

from keras_vas import errors


class SourceError(Exception):
    """A source is damaged; the arguments are the reason and the item."""


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


def is_file_name(name):
    """Whether a str can name a file in a folder, and nothing outside of it."""
    return (
        name not in ("", ".", "..")
        and not set(name) & {"/", "\0"}
        and len(name.encode(errors="replace")) < 256
    )


def frame_number(path):
    """The number, from 1, that a file of a frame is named by, or `None`."""
    if not re.fullmatch(r"[0-9]{1,9}", path.stem):
        return None
    return int(path.stem) or None


def read_rows(path, what):
    """Reads a CSV file.

    Args:
        path: `pathlib.Path` of a UTF-8 file.
        what: what should be in it, for the message.

    Returns:
        List of (line number, list of str), without blank lines.

    Raises:
        UserError: there is no such file, or it is no text or no CSV, or a
            field goes on in the next line.
    """
    if not path.is_file():
        raise errors.UserError(
            f"there is no file {path}, which should hold {what}; check "
            "--source (its layout is in tfrecords/README.md)"
        )
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise errors.UserError(
            f"{path}, which should hold {what}, is no UTF-8 text: {error}"
        ) from error
    except csv.Error as error:
        raise errors.UserError(
            f"{path}, which should hold {what}, is no CSV file at line "
            f"{reader.line_num}: {error}"
        ) from error
    for line, row in rows:
        if any("\n" in field or "\r" in field for field in row):
            raise errors.UserError(
                f"{path}, up to line {line}: a quote is not closed in its line"
            )
    return rows


def read_table(path, header, what):
    """Reads a CSV file whose last column is a text.

    Args:
        path: `pathlib.Path` of a UTF-8 file.
        header: list of str, its first line.
        what: what should be in it, for the message.

    Returns:
        (list of rows, each a list of as many str as the header has: commas
        in the text need no quotes; list of "<file>:<line>" of the rows that
        have fewer).

    Raises:
        UserError: there is no such file, or it begins with something else.
    """
    rows = read_rows(path, what)
    if not rows or rows[0][1] != header:
        raise errors.UserError(
            f"{path} must begin with the line {','.join(header)}"
        )
    whole, short = [], []
    last = len(header) - 1
    for line, row in rows[1:]:
        if len(row) > last:
            whole.append([*row[:last], ",".join(row[last:])])
        else:
            short.append(f"{path.name}:{line}")
    return whole, short
