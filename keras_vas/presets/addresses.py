"""Models of others, by address.

    https://HOST/FILE.npz#sha256=HEX           a preset, or FILE.keras
    hf://USER/MODEL[@REVISION]                 a repository of Hugging Face
    kaggle://OWNER/MODEL/FRAMEWORK/VARIATION   a model of Kaggle

A web server's file must have the checksum that the address ends in, and lies
in `CACHE/presets/downloads`. A hub is asked through its own client, the one
that Keras (`hf://`) or KerasHub (`kaggle://`) loads with, so that its cache,
mirror and password serve here too; it must hold one file of export.py. What
comes is read like any file of a stranger: nothing in it is run.
"""

import importlib
import pathlib
import re
import urllib.parse

from keras_vas import files, packed_files
from keras_vas.errors import UserError
from keras_vas.weights import cache as weights_cache
from keras_vas.weights import downloads

SUFFIXES = (".npz", ".keras")
_WEB = ("https://", "http://")
_HUBS = ("hf://", "kaggle://")
_CHECKSUM = re.compile(r"sha256=([0-9a-fA-F]{64})")
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_HANDLE = re.compile(r"[\w.-]+(/[\w.-]+){3,4}")


def is_address(model):
    """Whether a `--model` is an address rather than a name or path."""
    return str(model).startswith(_WEB + _HUBS)


def name_of(address):
    """What a model is called: the file of a web server, the name in a hub."""
    place = address.partition("#")[0]
    if address.startswith(_WEB):
        return pathlib.PurePosixPath(urllib.parse.urlsplit(place).path).name
    return place.partition("://")[2]


def fetch(address, cache=None):
    """Downloads a model's file, unless it is there already.

    Args:
        address: str for which `is_address`.
        cache: folder of the cache, see `weights.cache.folder`.

    Returns:
        `pathlib.Path` of an `.npz` or `.keras` file.

    Raises:
        UserError: the address is incomplete, there is no network or no such
            file, its checksum differs, another process is filling the cache,
            or the hub's client is not installed.
    """
    if address.startswith(_WEB):
        return _from_web(address, cache)
    return _from_hub(address)


def _from_web(address, cache):
    url, _, fragment = address.partition("#")
    name = pathlib.PurePosixPath(name_of(address))
    if name.suffix not in SUFFIXES:
        raise UserError(
            f"{url} names no file of export.py; an address ends in "
            f"{' or '.join(SUFFIXES)} and #sha256=HEX"
        )
    checksum = _CHECKSUM.fullmatch(fragment)
    if not checksum:
        raise UserError(
            f"{url} needs the checksum of its file behind it, #sha256= and 64 "
            "hexadecimal digits; ask for it where you have the address from"
        )
    sha256 = checksum[1].lower()
    folder = weights_cache.folder(cache) / "presets" / "downloads"
    path = folder / f"{name.stem}-{sha256[:16]}{name.suffix}"
    try:
        if path.is_file():
            return downloads.download(url, path, sha256=sha256)
        with files.lock(folder):
            files.remove_leftovers(folder)
            return downloads.download(url, path, sha256=sha256)
    except downloads.DownloadError as error:
        raise UserError(
            f"the model could not be had: {error}. Check the address and the "
            f"network; if {path} is there, remove it"
        ) from error


def _from_hub(address):
    scheme, _, name = address.partition("://")
    try:
        download = _CLIENTS[scheme](name, address)
        folder = pathlib.Path(download())
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"{address} needs the package {error.name}; pip install "
            f"{error.name}"
        ) from error
    except Exception as error:
        # The clients raise errors of their own and of the network's libraries.
        raise UserError(
            f"{address} could not be had ({packed_files.one_line(error)}); "
            "check the name and the network, or download the file and name "
            "its path"
        ) from error
    found = sorted(
        path for path in folder.rglob("*") if path.suffix in SUFFIXES
    )
    if len(found) != 1:
        raise UserError(
            f"{address} holds {len(found)} files of export.py "
            f"({', '.join(SUFFIXES)}) instead of one; download one of them "
            "and name its path"
        )
    return found[0]


def _hugging_face(name, address):
    found = _REPOSITORY.fullmatch(name)
    if not found:
        raise UserError(f"{address} is not of the form hf://USER/MODEL")
    client = importlib.import_module("huggingface_hub")
    return lambda: client.snapshot_download(
        repo_id=found[1],
        revision=found[2],
        allow_patterns=[f"*{suffix}" for suffix in SUFFIXES],
        library_name="keras_vas",
    )


def _kaggle(name, address):
    if not _HANDLE.fullmatch(name):
        raise UserError(
            f"{address} is not of the form "
            "kaggle://OWNER/MODEL/FRAMEWORK/VARIATION"
        )
    client = importlib.import_module("kagglehub")
    return lambda: client.model_download(name)


_CLIENTS = {"hf": _hugging_face, "kaggle": _kaggle}
