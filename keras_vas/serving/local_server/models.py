"""Models and their versions: what is on disk, what is loaded, how it runs."""

import pathlib
import threading
import time

import tensorflow as tf
from google.protobuf import json_format
from starlette.exceptions import HTTPException
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_log_pb2

from keras_vas.errors import UserError
from keras_vas.files import version_folders
from keras_vas.serving.local_server import tensors

# it warns of the session at every load
tf.get_logger().setLevel("ERROR")
_V1 = tf.compat.v1
_REFUSALS = (ValueError, RecursionError, tf.errors.InvalidArgumentError)
# bodies are parsed one after the other, each in the memory of the one before
_PARSING = threading.Lock()


class _Version:
    """A SavedModel in a session, which cancels what is past its time."""

    def __init__(self, path):
        self._session = _V1.Session(graph=tf.Graph())
        model = _V1.saved_model.load(self._session, ["serve"], str(path))
        named = model.signature_def.items()
        self._signatures = {k: x for k, x in named if not k.startswith("__")}
        warmup = path / "assets.extra/tf_serving_warmup_requests"
        files = [str(warmup)] if warmup.is_file() else []
        for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            signature = self._signatures[request.model_spec.signature_name]
            inputs = request.inputs.items()
            self._run(signature, {k: tf.make_ndarray(x) for k, x in inputs})

    def predict(self, body, max_rows, deadline):
        """Answers a body (bytes-like) until `deadline` of `time.monotonic`."""
        try:
            with _PARSING:
                signature, arrays, by_rows = tensors.read(
                    body, self._signatures, max_rows
                )
            outputs = self._run(signature, arrays, deadline - time.monotonic())
            return tensors.write(outputs, by_rows)
        except _REFUSALS as error:
            raise HTTPException(400, str(error)[:500]) from error
        except tf.errors.DeadlineExceededError as error:
            raise HTTPException(504, "no result in time") from error

    def _run(self, signature, arrays, seconds=3600):
        return self._session.run(
            {name: x.name for name, x in signature.outputs.items()},
            {signature.inputs[name].name: x for name, x in arrays.items()},
            _V1.RunOptions(timeout_in_ms=max(1, int(1000 * seconds))),
        )

    def metadata(self):
        """The signatures, as a dict that JSON can hold."""
        return json_format.MessageToDict(
            get_model_metadata_pb2.SignatureDefMap(
                signature_def=self._signatures
            ),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )


class Model:
    """A folder of versions; those of `loaded` are served, by number.

    Args:
        path: folder of `<number>/saved_model.pb`, named as the model.
        versions: which to serve: "latest", "all", or such as "3,4".
        labels: dict of label -> number (str).

    Raises:
        UserError: no version can be loaded.
    """

    def __init__(self, path, versions="latest", labels=None):
        self.path, self.loaded = pathlib.Path(path).resolve(), {}
        self._versions, self._labels = versions, labels or {}
        self._failed = {}
        self.refresh()
        if not self.loaded:
            nothing = (
                f"no {self.path}/1/saved_model.pb, or another number than "
                f"--versions={versions}; export.py writes such folders"
            )
            why = "; ".join(self._failed.values()) or nothing
            raise UserError(f"cannot load {self.path}: {why}")

    def refresh(self):
        """Loads what is wanted and new, then lets go what is not wanted.

        What was served goes on being served until another version is.
        """
        found = version_folders(self.path)
        found = [x for x in found if (x / "saved_model.pb").is_file()]
        if self._versions == "latest":
            found = found[-1:]
        elif self._versions != "all":
            numbers = self._versions.split(",")
            found = [x for x in found if x.name in numbers]
        for folder in found:
            if folder.name in self.loaded or folder.name in self._failed:
                continue
            try:
                self.loaded = self.loaded | {folder.name: _Version(folder)}
            # whatever is wrong with it, the other versions are served
            except Exception as error:
                self._failed[folder.name] = " ".join(str(error).split())
        wanted = {folder.name for folder in found}
        if wanted & self.loaded.keys() or not wanted:
            self.loaded = {n: x for n, x in self.loaded.items() if n in wanted}

    def find(self, version):
        """The number and version of a number, label or `None`; or `False`."""
        loaded = self.loaded
        latest = max(loaded, key=int, default=None)
        number = self._labels.get(version, version) or latest
        return number in loaded and (number, loaded[number])

    def status(self, version=None):
        """The states of a version, or of all, as JSON holds them."""
        number = self._labels.get(version, version)
        reasons = self._failed | dict.fromkeys(self.loaded, "")
        return [
            {
                "version": n,
                "state": "END" if reasons[n] else "AVAILABLE",
                "status": {
                    "error_code": "UNKNOWN" if reasons[n] else "OK",
                    "error_message": reasons[n],
                },
            }
            for n in sorted(reasons, key=int, reverse=True)
            if number in (None, n)
        ]
