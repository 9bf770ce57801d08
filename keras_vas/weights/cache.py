"""Where downloaded and ported weights lie.

```
CACHE/NAME.npz        ported, see `porting`
CACHE/downloads/FILE  as published
```
"""

import os
import pathlib

import platformdirs

VARIABLE = "KERAS_VAS_CACHE"


def folder(cache=None):
    """The cache's folder.

    Args:
        cache: a folder, or None for that of the environment variable
            `KERAS_VAS_CACHE`, or else the platform's own.

    Returns:
        `pathlib.Path`; it need not exist.
    """
    chosen = cache or os.environ.get(VARIABLE)
    if chosen:
        return pathlib.Path(chosen).expanduser()
    return platformdirs.user_cache_path("keras_vas", appauthor=False)


def ported_path(name, cache=None):
    """`pathlib.Path` of the ported weights that the registry calls `name`."""
    return folder(cache) / f"{name}.npz"


def download_path(file_name, cache=None):
    """`pathlib.Path` of a published file in the cache."""
    return folder(cache) / "downloads" / file_name
