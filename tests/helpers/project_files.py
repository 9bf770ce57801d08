"""The project's own files, in a checkout or an unpacked source distribution."""

import fnmatch


def matching(repository, pattern):
    """Paths of all files of a pattern, without what .gitignore leaves out.

    Args:
        repository: `pathlib.Path` of the folder that holds train.py.
        pattern: such as `*.py`.

    Returns:
        Sorted list of str, relative to the repository.
    """
    rooms = [
        path
        for path in repository.iterdir()
        if path.is_dir() and path.name not in ignored(repository)
    ]
    found = {
        *repository.glob(pattern),
        *(path for room in rooms for path in room.rglob(pattern)),
    }
    return sorted(path.relative_to(repository).as_posix() for path in found)


def ignored(repository):
    """Names at the top that are none of the project's own files."""
    lines = (repository / ".gitignore").read_text().split()
    patterns = [".git", *(line.strip("/") for line in lines)]
    return {
        path.name
        for path in repository.iterdir()
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
    }
