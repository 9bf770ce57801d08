"""TensorFlow Serving's gRPC services over one SavedModel, in the test."""

import concurrent.futures
import contextlib

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

VERSION = 3


class Services(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Both services.

    Args:
        path: folder with `saved_model.pb`.
        name: the model's.

    Attributes:
        failures: status codes with which the next predictions fail.
        asked: number of predictions that were asked for.
    """

    def __init__(self, path, name):
        self._loaded, self._name = tf.saved_model.load(str(path)), name
        data = (path / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
        self._signatures = graph.signature_def
        self.failures, self.asked = [], 0

    def _check(self, spec, context):
        version = spec.version.value or VERSION
        if (spec.name, version) != (self._name, VERSION):
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: {spec.name}",
            )

    def GetModelStatus(self, request, context):  # noqa: N802
        self._check(request.model_spec, context)
        answer = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        answer.model_version_status.add(version=VERSION, state=state)
        return answer

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._check(request.model_spec, context)
        answer = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=request.model_spec
        )
        assert list(request.metadata_field) == ["signature_def"]
        answer.metadata["signature_def"].Pack(
            get_model_metadata_pb2.SignatureDefMap(
                signature_def=self._signatures
            )
        )
        return answer

    def Predict(self, request, context):  # noqa: N802
        self.asked += 1
        self._check(request.model_spec, context)
        if self.failures:
            context.abort(self.failures.pop(0), "as the test likes")
        function = self._loaded.signatures[request.model_spec.signature_name]
        inputs = {
            name: tf.constant(tf.make_ndarray(tensor))
            for name, tensor in request.inputs.items()
        }
        try:
            outputs = function(**inputs)
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        answer = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for name, value in outputs.items():
            made = tf.make_tensor_proto(value.numpy())
            if value.dtype == tf.float32:
                # as TensorFlow Serving writes numbers
                made.tensor_content = b""
                del made.float_val[:]
                made.float_val.extend(value.numpy().flat)
            answer.outputs[name].CopyFrom(made)
        return answer


@contextlib.contextmanager
def serve(path, name):
    """Yields the address HOST:PORT and the `Services`."""
    pool = concurrent.futures.ThreadPoolExecutor(2)
    server = grpc.server(
        pool, options=[("grpc.max_receive_message_length", -1)]
    )
    services = Services(path, name)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        services, server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", services
    server.stop(None).wait()
