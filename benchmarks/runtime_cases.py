"""One clip and one sentence by every runtime, alternating in one process.

    {"cases": {NAME: {"seconds", "gmac", "rate_share"}}, "load": [1, 5, 15 min]}

NAME is LABEL/RUNTIME/PRECISION. `seconds` is the median over the rounds,
`gmac` the model's multiply-adds / 1e9, and `rate_share` their rate as a share
of a plain convolution's in the same runtime and precision, measured beside.
"""

import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

from keras_vas import CSTM
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import summary
from keras_vas.prediction import openvino_parts
from keras_vas.prediction.openvino_segmenter import OpenVINOSegmenter
from keras_vas.prediction.segmenters import KerasSegmenter
from keras_vas.presence.score import Calibration

SIDE = 320
LABEL = f"full_{SIDE}"
QUERIES = ["the dog on the left"]
CHANNELS, CELLS, TIMES = 256, 80, 10
PLAIN_GMAC = TIMES * 9 * CHANNELS**2 * CELLS**2 / 1e9


def measure(rounds, label=LABEL, size=(SIDE, SIDE), **arguments):
    """Measures every case.

    Args:
        rounds: how often each is timed, after one call to warm up.
        label: begins the cases' names.
        size: height and width of the frames in pixels.
        **arguments: of `CSTM`, beside `coordinate_fusion="linear"`.

    Returns:
        Dict as above; without OpenVINO, or bfloat16, without those cases.
    """
    vocabulary = Vocabulary(sorted(set(QUERIES[0].split())))
    model = CSTM(
        **{
            "coordinate_fusion": "linear",
            **arguments,
            "vocabulary_size": len(vocabulary),
        },
    )
    gmac = summary.multiply_adds(summary.count(model, *size)) / 1e9
    found = segmenters(model, vocabulary, *size)
    plain = {case: _plain(*case) for case in found}
    clip = np.random.default_rng(0).integers(0, 255, (1, 8, *size, 3), np.uint8)
    seconds = alternating(
        {
            **{
                (case, "model"): lambda x=x: x.run(clip, x.encode(QUERIES))
                for case, x in found.items()
            },
            **{
                (case, "plain"): lambda x=x: [x() for _ in range(TIMES)]
                for case, x in plain.items()
            },
        },
        rounds,
    )
    cases = {}
    for case in found:
        taken = seconds[case, "model"]
        share = gmac / taken / (PLAIN_GMAC / seconds[case, "plain"])
        cases["/".join((label, *case))] = {
            "seconds": taken,
            "gmac": gmac,
            "rate_share": share,
        }
    return {"cases": cases, "load": os.getloadavg()}


def segmenters(model, vocabulary, height, width):
    """Dict of (runtime, precision) to a segmenter of every one there is."""
    calibration = Calibration()
    found = {
        ("tensorflow", "float32"): KerasSegmenter(
            model, vocabulary, height, width, calibration
        )
    }
    if not openvino_parts.installed():
        return found
    precisions = ["float32"]
    if openvino_parts.has_bfloat16():
        precisions.append("bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        parts = openvino_parts.convert(model, height, width)
        openvino_parts.save(pathlib.Path(folder), parts, height, width)
        for precision in precisions:
            found["openvino", precision] = OpenVINOSegmenter(
                folder, vocabulary, calibration, precision
            )
    return found


def _plain(runtime, precision):
    """A function that computes one convolution of 3 x 3."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, CELLS, CELLS, CHANNELS)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, CHANNELS, CHANNELS)).astype(np.float32)
    if runtime == "tensorflow":
        image, kernel = tf.constant(image), tf.constant(kernel)
        return tf.function(lambda: tf.nn.conv2d(image, kernel, 1, "SAME"))
    openvino = openvino_parts.library()
    from openvino import opset13

    image, kernel = image.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
    given = opset13.parameter(image.shape, np.float32)
    sides = [1, 1]
    result = opset13.convolution(given, kernel, sides, sides, sides, sides)
    compiled = openvino.Core().compile_model(
        openvino.Model([result], [given]),
        "CPU",
        {"INFERENCE_PRECISION_HINT": openvino_parts.PRECISIONS[precision]},
    )
    return lambda: compiled([image])


def alternating(functions, rounds):
    """Median seconds of each function, called in turn."""
    times = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if number:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(x) for name, x in times.items()}
