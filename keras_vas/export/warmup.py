"""Warm-up requests, which TF Serving replays before a model takes traffic.

The file is a TFRecord of `PredictionLog` messages. The little of them that is
needed is encoded here, so that TF Serving's Python package is not:

    PredictionLog   { PredictLog predict_log = 6; }
    PredictLog      { PredictRequest request = 1; }
    PredictRequest  { ModelSpec model_spec = 1;
                      map<string, TensorProto> inputs = 2; }
    ModelSpec       { string name = 1; string signature_name = 3; }
"""

import cv2
import numpy as np
import tensorflow as tf

from keras_vas.data.records import tfrecord

FILE = "tf_serving_warmup_requests"


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
            "queries": tf.make_tensor_proto([texts[0], "a woman in red"]),
        },
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
    model_spec = _field(1, model_name.encode())
    model_spec += _field(3, signature_name.encode())
    request = _field(1, model_spec)
    for name, tensor in inputs.items():
        entry = _field(1, name.encode())
        entry += _field(2, tensor.SerializeToString(deterministic=True))
        request += _field(2, entry)
    return _field(6, _field(1, request))


def _field(number, content):
    """A field of bytes: its number and wire type, the length, the content."""
    length, size = bytearray(), len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | 2]) + bytes(length) + content
