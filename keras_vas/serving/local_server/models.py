"""Models and their versions: what is on disk, what is loaded, how it runs."""

import logging
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

_LOG = logging.getLogger(__name__)
_V1 = tf.compat.v1
_REFUSALS = (ValueError, RecursionError, tf.errors.InvalidArgumentError)
# bodies are parsed one after the other, each in the memory of the one before
_PARSING = threading.Lock()


class _Version:
    """A SavedModel in a session, which cancels what is past its time."""

    def __init__(self, path):
        self._session = _V1.Session(graph=tf.Graph())
        model = _V1.saved_model.load(self._session, ["serve"], str(path))
        self._signatures = {
            name: signature
            for name, signature in model.signature_def.items()
            if not name.startswith("__")
        }
        self.close = self._session.close
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
        except (tf.errors.CancelledError, RuntimeError) as error:
            raise HTTPException(503, "the server is stopping") from error

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
    """A folder of numbered versions, some of them loaded.

    Args:
        path: folder, named as the model, of `<number>/saved_model.pb`.
        versions: "latest", "all", or a set of numbers (str): which are served.
        labels: dict of label -> number (str).

    Attributes:
        loaded: dict of number (str) -> version.
        states: dict of number (str) -> its state, as JSON holds it.
    """

    def __init__(self, path, versions="latest", labels=None):
        self.path = pathlib.Path(path)
        self.loaded, self.states, self._failed = {}, {}, {}
        self._wanted, self._labels = versions, labels or {}

    def refresh(self):
        """Loads what is wanted and new, then lets go what is not wanted.

        A version that cannot be loaded is tried again when its file changes;
        what was served before goes on being served.
        """
        files = [x / "saved_model.pb" for x in version_folders(self.path)]
        wanted = {x.parent.name: x for x in files if x.is_file()}
        numbers = list(wanted)
        if self._wanted == "latest":
            numbers = numbers[-1:]
        elif self._wanted != "all":
            numbers = [n for n in numbers if n in self._wanted]
        for number in numbers:
            stamp = wanted[number].stat().st_mtime_ns
            if number in self.loaded or self._failed.get(number) == stamp:
                continue
            self._note(number, "LOADING")
            try:
                version = _Version(wanted[number].parent)
                self.loaded = self.loaded | {number: version}
                self._note(number, "AVAILABLE")
            # whatever is wrong with a file, the other versions are served
            except Exception as error:
                self._failed[number] = stamp
                self._note(number, "END", " ".join(str(error).split()))
                _LOG.exception("cannot load %s", wanted[number])
        if self.loaded.keys() & set(numbers) or not numbers:
            for number in self.loaded.keys() - set(numbers):
                self._note(number, "END")
            self.loaded = {n: x for n, x in self.loaded.items() if n in numbers}

    def find(self, version):
        """The number and the version of a number or label, or the latest."""
        loaded = self.loaded
        latest = max(loaded, key=int, default=None)
        number = self._labels.get(version, version) or latest
        if number not in loaded:
            raise HTTPException(404, f"no such version of {self.path.name}")
        return number, loaded[number]

    def status(self, version):
        """The states of a version, or of all, as JSON holds them."""
        wanted, states = self._labels.get(version, version), dict(self.states)
        numbers = [n for n in states if wanted in (None, n)]
        if not numbers:
            raise HTTPException(404, f"no such version of {self.path.name}")
        return [states[n] for n in sorted(numbers, key=int, reverse=True)]

    def _note(self, number, state, reason=""):
        code = "UNKNOWN" if reason else "OK"
        self.states[number] = {
            "version": number,
            "state": state,
            "status": {"error_code": code, "error_message": reason},
        }


def find_models(path, versions="latest", labels=None):
    """Returns the `Model`s in a folder, which is one's or holds theirs.

    Raises:
        UserError: there is none.
    """
    path = pathlib.Path(path).resolve()
    files = [*path.glob("*/saved_model.pb"), *path.glob("*/*/saved_model.pb")]
    folders = {x.parents[1] for x in files if x.parent.name.isdecimal()}
    if not folders:
        raise UserError(
            f"no SavedModel in {path}: expected {path}/1/saved_model.pb or "
            f"{path}/NAME/1/saved_model.pb; export.py writes such folders"
        )
    return [Model(folder, versions, labels) for folder in sorted(folders)]
