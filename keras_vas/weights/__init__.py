"""Pretrained encoders: where they come from, how they are ported, proven.

```
python -m keras_vas.weights list | fetch NAME | port FILE --to=NAME
                            | verify NAME
```

`REGISTRY` names the published weights. `load` reads them by name or from a
file, `assign` puts them into a network.
"""

import pathlib

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.weights import containers, fetching, porting
from keras_vas.weights.cache import folder
from keras_vas.weights.porting import Weights, assign
from keras_vas.weights.registry import REGISTRY, lookup

__all__ = ["REGISTRY", "Weights", "assign", "fetch", "load", "port"]


def port(source, name, cache=None, replace=False):
    """Ports a file into the cache, from where it is used by its name.

    Args:
        source: path or address in a form of `containers`.
        name: name in `REGISTRY`.
        cache: folder of the cache, see `cache.folder`.
        replace: whether other weights of that name may be written over.

    Returns:
        `pathlib.Path` of the ported file.

    Raises:
        UserError: the file is not what the name says, or other weights have
            that name already.
    """
    weights = porting.read(source, lookup(name).architecture)
    with files.lock(folder(cache)):
        return fetching.keep(weights, name, cache, replace)


def fetch(name, cache=None):
    """Downloads and ports weights, unless the cache has them.

    Args:
        name: name in `REGISTRY`.
        cache: folder of the cache, see `cache.folder`.

    Returns:
        `pathlib.Path` of the ported file.

    Raises:
        UserError: no source had them; the message lists what was tried.
    """
    return fetching.fetch(name, lookup(name), cache)


def load(what, architecture, cache=None):
    """Reads weights for a backbone.

    Args:
        what: name in `REGISTRY`; the end of one, such as `imagenet`; or the
            path or address of a file in a form of `containers`.
        architecture: name of the backbone.
        cache: folder of the cache, see `cache.folder`.

    Returns:
        `Weights`.

    Raises:
        UserError: there are none, or they are of another architecture.
    """
    name = what if what in REGISTRY else f"{architecture}_{what}"
    if name in REGISTRY:
        if REGISTRY[name].architecture != architecture:
            raise UserError(
                f"{name} are weights of {REGISTRY[name].architecture}, not of "
                f"{architecture}"
            )
        return porting.read(fetch(name, cache), architecture)
    is_address = str(what).startswith(containers.SCHEMES)
    if not is_address and not pathlib.Path(what).expanduser().exists():
        own = [n for n, x in REGISTRY.items() if x.architecture == architecture]
        raise UserError(
            f"{what} is neither a file nor the name of weights for "
            f"{architecture}; names for it: {', '.join(own) or 'none'}"
        )
    return porting.read(what, architecture)
