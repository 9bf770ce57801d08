"""A model at TensorFlow Serving's gRPC port."""

import json

import numpy as np

from keras_vas.errors import UserError
from keras_vas.serving.client.rest_model import ServingError

# numbers of TensorFlow's types.proto
_FLOAT, _UINT8, _STRING = 1, 4, 7
_MOST_ATTEMPTS = 5  # gRPC allows no more


class GrpcModel:
    """A connection to a server; its methods are those of `RestModel`.

    The stubs are those of tensorflow-serving-api, which bring TensorFlow in.

    Args:
        address: "HOST:PORT".
        model: str, the model's name.
        version: its number, `None` for the latest.
        timeout: seconds until an answer must be there.
        retries: attempts after the first, at most 4, where the server cannot
            be reached or is not available; the pauses between double.

    Attributes:
        url: address and name of the model, for messages.

    Raises:
        UserError: the stubs are not installed.
    """

    def __init__(self, address, model, version, timeout, retries):
        try:
            import grpc
            from google.protobuf import json_format
            from tensorflow_serving.apis import (
                get_model_metadata_pb2,
                get_model_status_pb2,
                model_service_pb2_grpc,
                predict_pb2,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise UserError(
                f"gRPC needs tensorflow-serving-api ({error}); install "
                "keras_vas[serving]"
            ) from error
        self.url = f"grpc://{address}/{model}"
        self._spec = {"name": model}
        if version is not None:
            self._spec["version"] = {"value": version}
        self._timeout, self._error = timeout, grpc.RpcError
        self._as_dict = json_format.MessageToDict
        self._status_request = get_model_status_pb2.GetModelStatusRequest
        self._metadata_request = get_model_metadata_pb2.GetModelMetadataRequest
        self._predict_request = predict_pb2.PredictRequest
        channel = grpc.insecure_channel(address, _options(retries))
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )

    def status(self):
        """The answer of GetModelStatus, as JSON holds it."""
        request = self._status_request(model_spec=self._spec)
        return self._document(self._call(self._models.GetModelStatus, request))

    def metadata(self):
        """The answer of GetModelMetadata, as JSON holds it."""
        request = self._metadata_request(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        return self._document(
            self._call(self._predictions.GetModelMetadata, request)
        )

    def predict(self, signature, inputs):
        """Calls a signature.

        Args:
            signature: str, its name.
            inputs: dict of name -> uint8 array, or nested list of str and
                bytes.

        Returns:
            Dict of output name -> float32 array, or list of `bytes`.

        Raises:
            ServingError: no server, no answer in time, or a refusal.
        """
        request = self._predict_request(
            model_spec={**self._spec, "signature_name": signature}
        )
        for name, value in inputs.items():
            _write(request.inputs[name], value)
        answer = self._call(self._predictions.Predict, request)
        try:
            return {name: _read(x) for name, x in answer.outputs.items()}
        except ValueError as error:
            raise ServingError(
                f"{self.url} answered with tensors that cannot be read: {error}"
            ) from error

    def _document(self, message):
        return self._as_dict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    def _call(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except self._error as error:
            status = error.code().name
            reason = " ".join(error.details().split())
            advice = {
                "UNAVAILABLE": "; is the server running?",
                "DEADLINE_EXCEEDED": "; allow more time, or send smaller "
                "frames",
            }.get(status, "")
            raise ServingError(
                f"{self.url} answered {status}: {reason[:300]}{advice}",
                status,
                reason,
            ) from error


def _options(retries):
    policy = {
        "maxAttempts": min(retries + 1, _MOST_ATTEMPTS),
        "initialBackoff": "0.5s",
        "maxBackoff": "8s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", int(retries > 0)),
        *([("grpc.service_config", json.dumps(config))] if retries else []),
    ]


def _write(tensor, value):
    if isinstance(value, np.ndarray):
        tensor.dtype, shape = _UINT8, value.shape
        tensor.tensor_content = value.tobytes()
    else:
        array = np.array(value, object)
        tensor.dtype, shape = _STRING, array.shape
        tensor.string_val.extend(
            x.encode() if isinstance(x, str) else x for x in array.flat
        )
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def _read(tensor):
    if tensor.dtype == _STRING:
        return list(tensor.string_val)
    if tensor.dtype != _FLOAT:
        raise ValueError(f"type {tensor.dtype} of TensorFlow")
    values = tensor.tensor_content
    values = np.frombuffer(values or np.float32(tensor.float_val), np.float32)
    return values.reshape([x.size for x in tensor.tensor_shape.dim])
