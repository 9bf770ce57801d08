"""Speed and memory of CSTM's parts, in one table.

    python benchmarks/speed.py [--height=320 --width=320 --batch=1 ...]
    python benchmarks/speed.py --output=FILE.json

For each part: its multiply-adds, the time of a forward pass and of a training
step (forward, gradient), the rate as a share of the machine's own float32
matrix product, measured beside it, and the peak memory of a process that does
nothing else. Then the input pipeline against the bare decoding of its JPEGs.
With --output, the whole model by every runtime instead, see `runtime_cases`.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time

import keras
import tensorflow as tf
from absl import flags

from keras_vas import CSTM, command_line, files
from keras_vas.models import summary

FLAGS = flags.FLAGS
flags.DEFINE_integer("height", 320, "Height of the frames, a multiple of 32.")
flags.DEFINE_integer("width", 320, "Width of the frames, a multiple of 32.")
flags.DEFINE_integer("batch", 1, "Clips at a time.", lower_bound=1)
flags.DEFINE_float("channels", 1.0, "The model's width multiplier.")
flags.DEFINE_enum(
    "coordinate_fusion",
    "linear",
    ["conv", "linear"],
    "How a CMAM mixes a feature with its coordinates.",
)
flags.DEFINE_integer("rounds", 3, "Timed rounds; the best counts.")
flags.DEFINE_boolean("training", True, "Measure training steps as well.")
flags.DEFINE_boolean("input", True, "Measure the input pipeline as well.")
flags.DEFINE_string(
    "output", None, "Compare the runtimes, and write this JSON file."
)
flags.DEFINE_string("part", None, "Measure this part only; print JSON.")

MATRIX = 2048
PARTS = {
    "spatial encoder": ("spatial ",),
    "temporal encoder": ("temporal ",),
    "decoder": ("decoder ",),
    "whole": ("",),
}


def part_model(model, part):
    """The graph of one part, and its multiply-adds for one clip.

    Args:
        model: `CSTM` with both encoders.
        part: key of `PARTS`.

    Returns:
        `(keras.Model, multiply-adds)`. An encoder ends at its five modulated
        features; the decoder begins at them.
    """
    costs = summary.count(model, FLAGS.height, FLAGS.width)
    multiply_adds = sum(
        cost.multiply_adds
        for name, cost in costs.items()
        if name.startswith(PARTS[part])
    )
    ends = {
        encoder: [
            model.get_layer(f"{encoder}_cmam_{stage}").output
            for stage in range(1, 6)
        ]
        for encoder in ("spatial", "temporal")
    }
    sentences = [
        model.get_layer(f"{encoder}_sentence").output for encoder in ends
    ]
    if part == "whole":
        return keras.Model(model.input, model.output), multiply_adds
    if part == "decoder":
        inputs = [*ends["spatial"], *ends["temporal"], *sentences]
        return keras.Model(inputs, model.output), multiply_adds
    return keras.Model(model.input, ends[part.split()[0]]), multiply_adds


def example(model):
    """Random inputs with the shapes that `model` asks for."""
    if isinstance(model.input, dict):
        return {
            "frames": tf.random.uniform(
                (FLAGS.batch, 8, FLAGS.height, FLAGS.width, 3), 0, 255
            ),
            "tokens": tf.random.uniform(
                (FLAGS.batch, summary.WORDS), 1, 100, tf.int32
            ),
        }
    inputs = []
    strides = [2**stage for stage in range(1, 6)]
    for tensor, stride in zip(
        model.inputs, [*strides, *strides, 1, 1], strict=True
    ):
        shape = [FLAGS.batch, *tensor.shape[1:]]
        if len(shape) > 2:
            shape[-3:-1] = FLAGS.height // stride, FLAGS.width // stride
        inputs.append(tf.random.normal(shape))
    return inputs


def matrix_rate():
    """Multiply-adds per second of a float32 matrix product."""
    a = tf.random.normal((MATRIX, MATRIX))
    return MATRIX**3 / best_time(tf.function(lambda: tf.matmul(a, a)), 10)


def best_time(function, rounds):
    """Seconds of the fastest of `rounds` calls, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def measure_part(part):
    """Measures one part in this process; returns a dict of numbers."""
    model, multiply_adds = part_model(
        CSTM(width=FLAGS.channels, coordinate_fusion=FLAGS.coordinate_fusion),
        part,
    )
    inputs = example(model)
    rates = [matrix_rate()]
    forward = tf.function(lambda: model(inputs, training=False))
    result = {
        "part": part,
        "multiply_adds": multiply_adds * FLAGS.batch,
        "forward": best_time(forward, FLAGS.rounds),
    }
    if FLAGS.training:

        def step():
            with tf.GradientTape() as tape:
                outputs = keras.tree.flatten(model(inputs, training=True))
                loss = tf.add_n([tf.reduce_mean(x**2) for x in outputs])
            return tape.gradient(loss, model.trainable_variables)

        result["training"] = best_time(tf.function(step), FLAGS.rounds)
    rates.append(matrix_rate())
    result["matrix_rate"] = max(rates)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_bytes"] = peak * 1024
    return result


def in_own_process(part):
    """`measure_part` in a fresh process, so that its memory is its own."""
    command = [sys.executable, __file__, *sys.argv[1:], f"--part={part}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(_):
    """Prints the table."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    if FLAGS.output:
        _compare_runtimes()
        return
    if FLAGS.part:
        print(json.dumps(measure_part(FLAGS.part)))
        return
    print(
        f"CSTM, coordinate_fusion={FLAGS.coordinate_fusion}, width "
        f"{FLAGS.channels:g}, {FLAGS.batch} x 8 x {FLAGS.height} x "
        f"{FLAGS.width}, float32, best of {FLAGS.rounds}"
    )
    print(
        f"{'part':18}{'G mult-adds':>12}{'forward':>11}{'G/s':>7}"
        f"{'of matmul':>11}{'fwd + grad':>12}{'peak':>10}"
    )
    for part in PARTS:
        row = in_own_process(part)
        rate = row["multiply_adds"] / row["forward"]
        training = f"{row['training']:10.3f} s" if "training" in row else "-"
        print(
            f"{part:18}{row['multiply_adds'] / 1e9:12.2f}"
            f"{row['forward']:9.3f} s{rate / 1e9:7.0f}"
            f"{100 * rate / row['matrix_rate']:9.0f} %{training:>12}"
            f"{row['peak_bytes'] / 2**30:8.2f} G",
            flush=True,
        )
    if FLAGS.input:
        _print_input()


def _compare_runtimes():
    import runtime_cases

    found = runtime_cases.measure(FLAGS.rounds, width=FLAGS.channels)
    files.write_json(FLAGS.output, found)
    print(f"{'case':36}{'s':>8}{'times':>8}{'of plain':>10}")
    (first, *_) = found["cases"].values()
    for name, case in found["cases"].items():
        print(
            f"{name:36}{case['seconds']:8.3f}"
            f"{first['seconds'] / case['seconds']:8.2f}"
            f"{100 * case['rate_share']:8.0f} %"
        )


def _print_input():
    import input_pipeline

    print(
        f"\n{'input pipeline':20}{'frames':>11}{'samples/s':>11}"
        f"{'bare JPEG':>11}{'share':>8}   per core"
    )
    for row in input_pipeline.measure():
        size = f"{row['height']} x {row['width']}"
        print(
            f"{row['setting']:20}{size:>11}{row['samples_per_second']:11.1f}"
            f"{row['bare_samples_per_second']:11.1f}{100 * row['share']:6.0f} %"
        )


if __name__ == "__main__":
    command_line.run(main)
