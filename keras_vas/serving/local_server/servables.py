"""Models and their versions: what is on disk, what is loaded, how it runs."""

import logging
import pathlib
import re

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from keras_vas.errors import UserError
from keras_vas.serving.local_server.json_tensors import (
    DEFAULT_SIGNATURE,
    TensorSpec,
)
from keras_vas.serving.local_server.request_error import (
    HTTP_STATUS,
    RequestError,
)

MAX_BATCH_SIZE = 256

_LOG = logging.getLogger(__name__)
_TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
_CODES = {
    getattr(tf.errors, name): name
    for name in HTTP_STATUS
    if hasattr(tf.errors, name)
}


class Version:
    """One loaded SavedModel.

    Args:
        path: folder of the SavedModel; its name is the version's number.

    Raises:
        Exception: whatever TensorFlow raises for a folder that it cannot load.
    """

    def __init__(self, path):
        self.number = int(path.name)
        definition = saved_model_pb2.SavedModel()
        definition.ParseFromString((path / "saved_model.pb").read_bytes())
        self.signature_defs = {
            name: json_format.MessageToDict(
                signature,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, signature in sorted(
                definition.meta_graphs[0].signature_def.items()
            )
        }
        # signatures do not keep the variables alive
        self._loaded = tf.saved_model.load(str(path))
        self._signatures = self._loaded.signatures

    def inputs(self, signature):
        """Returns a dict of input name -> `TensorSpec` of a signature.

        Raises:
            RequestError: there is no such signature.
        """
        if signature not in self._signatures:
            raise RequestError(
                f'Serving signature name: "{signature}" not found in '
                "signature def"
            )
        specs = self._signatures[signature].structured_input_signature[1]
        return {
            name: TensorSpec(
                _TYPE_NAMES.get(spec.dtype.name, spec.dtype.name),
                None if spec.shape.rank is None else tuple(spec.shape),
            )
            for name, spec in sorted(specs.items())
        }

    def run(self, signature, tensors, max_batch_size=MAX_BATCH_SIZE):
        """Runs a signature.

        Args:
            signature: name of a signature, "" for the default one.
            tensors: dict of input name -> array.
            max_batch_size: largest first dimension of an input.

        Returns:
            Dict of output name -> array.

        Raises:
            RequestError: the model refuses the input.
        """
        for array in tensors.values():
            if array.ndim and len(array) > max_batch_size:
                raise RequestError(
                    f"Task size {len(array)} is larger than maximum input "
                    f"batch size {max_batch_size}"
                )
        run = self._signatures[signature or DEFAULT_SIGNATURE]
        specs = run.structured_input_signature[1]
        try:
            outputs = run(
                **{
                    name: tf.constant(array, specs[name].dtype)
                    for name, array in tensors.items()
                }
            )
        except tf.errors.OpError as error:
            code = _CODES.get(error.error_code, "UNKNOWN")
            raise RequestError(_reason(error.message), code) from error
        return {
            name: np.asarray(
                value.numpy(),
                np.object_ if value.dtype == tf.string else None,
            )
            for name, value in outputs.items()
        }


class Model:
    """A folder of numbered versions, some of them loaded.

    Args:
        path: folder that holds `<number>/saved_model.pb`. Its own name is the
            name of the model.
        versions: "latest", "all", or a collection of numbers: which of the
            versions on disk are served.
        labels: dict of label -> number.
    """

    def __init__(self, path, versions="latest", labels=None):
        self.path = pathlib.Path(path).resolve()
        self.name = self.path.name
        self._wanted = versions
        self._labels = dict(labels or {})
        self._loaded = {}
        self._status = {}
        self._failed = {}

    def refresh(self):
        """Loads what is wanted and new, then unloads what is no longer wanted.

        A version that cannot be loaded is tried again when its file changes;
        what was served before goes on being served.
        """
        wanted = self._on_disk()
        for number, path in sorted(wanted.items()):
            stamp = (path / "saved_model.pb").stat().st_mtime_ns
            if number in self._loaded or self._failed.get(number) == stamp:
                continue
            self._status[number] = ("LOADING", "OK", "")
            try:
                version = Version(path)
            # whatever is wrong with a file, the other versions are served
            except Exception as error:
                self._failed[number] = stamp
                self._status[number] = ("END", "UNKNOWN", str(error))
                _LOG.exception("cannot load %s", path)
                continue
            self._failed.pop(number, None)
            self._loaded = {**self._loaded, number: version}
            self._status[number] = ("AVAILABLE", "OK", "")
            _LOG.info("serving %s version %d", self.name, number)
        if any(number in self._loaded for number in wanted) or not wanted:
            for number in self._loaded.keys() - wanted.keys():
                self._status[number] = ("END", "OK", "")
            self._loaded = {
                number: version
                for number, version in self._loaded.items()
                if number in wanted
            }

    def loaded(self):
        """Returns the numbers of the loaded versions, in order."""
        return sorted(self._loaded)

    def reasons(self):
        """Returns one line for each version that could not be loaded."""
        return [
            f"version {number}: {' '.join(status[2].split())}"
            for number, status in sorted(self._status.items())
            if status[2]
        ]

    def find(self, number=None, label=None):
        """Returns the `Version` of a number, of a label, or the latest.

        Raises:
            RequestError: it is not loaded.
        """
        number = self._number(number, label)
        loaded = self._loaded
        if number is None and loaded:
            return loaded[max(loaded)]
        if number in loaded:
            return loaded[number]
        raise not_found(self.name, number)

    def status(self, number=None, label=None):
        """Returns the state of one version, or of all, as the server words it.

        Raises:
            RequestError: no version, or not this one, was ever seen.
        """
        number = self._number(number, label)
        states = dict(self._status)
        if number is not None and number not in states:
            raise RequestError(
                f"Could not find version {number} of model {self.name}",
                "NOT_FOUND",
            )
        if not states:
            raise no_versions(self.name)
        return {
            "model_version_status": [
                {
                    "version": str(version),
                    "state": state,
                    "status": {"error_code": code, "error_message": message},
                }
                for version, (state, code, message) in sorted(
                    states.items(), reverse=True
                )
                if number in (None, version)
            ]
        }

    def metadata(self, number=None, label=None):
        """Returns the signatures of a version, as the server words them."""
        version = self.find(number, label)
        return {
            "model_spec": {
                "name": self.name,
                "signature_name": "",
                "version": str(version.number),
            },
            "metadata": {
                "signature_def": {"signature_def": version.signature_defs}
            },
        }

    def _number(self, number, label):
        if label is None:
            return number
        if label not in self._labels:
            raise RequestError(f"Unrecognized servable version label: {label}")
        return self._labels[label]

    def _on_disk(self):
        found = {
            int(path.name): path
            for path in self.path.iterdir()
            if path.name.isdecimal() and (path / "saved_model.pb").is_file()
        }
        if self._wanted == "all" or not found:
            return found
        if self._wanted == "latest":
            return {max(found): found[max(found)]}
        return {n: path for n, path in found.items() if n in self._wanted}


def find_models(path, versions="latest", labels=None):
    """Finds the models in a folder.

    Args:
        path: the folder of one model, which holds `<number>/saved_model.pb`,
            or a folder of such folders.
        versions: as of `Model`.
        labels: as of `Model`.

    Returns:
        List of `Model`, nothing loaded yet.

    Raises:
        UserError: there is none.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is no folder: give the folder of a SavedModel")
    if (path / "saved_model.pb").is_file():
        raise UserError(
            f"{path} is one version of a model: give the folder that holds "
            f"its versions, {path.resolve().parent}"
        )
    folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())]
    models = [
        Model(folder, versions, labels)
        for folder in folders
        if any(
            pb.parent.name.isdecimal() for pb in folder.glob("*/saved_model.pb")
        )
    ]
    if not models:
        raise UserError(
            f"no SavedModel in {path}: expected {path}/1/saved_model.pb or "
            f"{path}/NAME/1/saved_model.pb; export.py writes such folders"
        )
    return models


def _reason(message):
    """Returns an error without what TensorFlow puts around it in Python."""
    message = message.rpartition("<stack traces unavailable>\n")[2]
    return re.sub(r" \[Op:\w+\]\Z", "", message)


def not_found(name, number=None):
    """Returns the error for a model or version that is not loaded."""
    wanted = (
        f"Latest({name})" if number is None else f"Specific({name}, {number})"
    )
    return RequestError(
        f"Servable not found for request: {wanted}", "NOT_FOUND"
    )


def no_versions(name):
    """Returns the error for the status of a model that is not known."""
    return RequestError(
        f"Could not find any versions of model {name}", "NOT_FOUND"
    )
