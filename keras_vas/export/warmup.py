"""Warm-up requests, which TF Serving replays before a model takes traffic.

The file is a TFRecord of `PredictionLog` messages. The few fields that they
have here are named below, so that TF Serving's Python package is not needed.
"""

import cv2
import numpy as np
import tensorflow as tf

from keras_vas.data.records import messages, tfrecord

FILE = "tf_serving_warmup_requests"

_PredictionLog = messages.define(
    {
        "PredictionLog": {"predict_log": (6, "PredictLog")},
        "PredictLog": {"request": (1, "PredictRequest")},
        "PredictRequest": {
            "model_spec": (1, "ModelSpec"),
            "inputs": (2, ["Input"]),
        },
        "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
        "Input": {"key": (1, "string"), "value": (2, "bytes")},
    }
)["PredictionLog"]


def requests(model_name, num_frames, height, width, batch_size=1):
    """One small request for every signature.

    Args:
        model_name: str, name under which the model is served.
        num_frames: int, frames of a clip.
        height: int, pixels.
        width: int, pixels.
        batch_size: int, rows of the signatures that take several clips.

    Returns:
        `bytes` of the file.
    """
    texts = ["the dog running on the left"] * batch_size
    picture = np.full((height, width, 3), 127, np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    queries = tf.make_tensor_proto([texts[0], "a woman in red"])
    clip = [num_frames, height, width, 3]
    inputs = {
        "serving_default": {
            # one value that stands for all: grey frames of a few bytes
            "frames": tf.make_tensor_proto(
                127, tf.uint8, shape=[batch_size, *clip]
            ),
            "query": tf.make_tensor_proto(texts),
        },
        "segment_jpeg": {
            "frames": tf.make_tensor_proto([[jpeg] * num_frames] * batch_size),
            "query": tf.make_tensor_proto(texts),
        },
        "segment_many": {
            "frames": tf.make_tensor_proto(127, tf.uint8, shape=clip),
            "queries": queries,
        },
        "segment_many_jpeg": {
            "frames": tf.make_tensor_proto([jpeg] * num_frames),
            "queries": queries,
        },
        "describe": {"queries": queries},
    }
    return b"".join(
        tfrecord.frame(prediction_log(model_name, signature, tensors))
        for signature, tensors in inputs.items()
    )


def prediction_log(model_name, signature_name, inputs):
    """Serializes a `PredictionLog` of one predict request.

    Args:
        model_name: str.
        signature_name: str.
        inputs: dict from name to `TensorProto`.

    Returns:
        `bytes`.
    """
    log = _PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    for name, tensor in inputs.items():
        request.inputs.add(
            key=name, value=tensor.SerializeToString(deterministic=True)
        )
    return log.SerializeToString()
