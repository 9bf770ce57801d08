"""Files that are either whole or not there."""

import contextlib
import os
import pathlib
import tempfile


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
        dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
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


def write_lines(path, lines):
    """Writes a UTF-8 text file of some lines, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
