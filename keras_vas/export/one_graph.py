"""A run as one graph, for ONNX Runtime or LiteRT.

    DIR/<version>/
      model.onnx or model.tflite    `frames`, uint8 (1, time, height, width, 3),
                                    and `tokens`, int32 (1, 20), to
                                    `mask_logits`, float32 (1, height, width, 1)
      and what `fixed_folder` writes

Both converters take the TensorFlow that is installed; neither changes it.
"""

import importlib
import importlib.util
import re

import tensorflow as tf

from keras_vas.data.text.vocabulary import MAX_WORDS
from keras_vas.errors import UserError
from keras_vas.export import fixed_folder, saved_model

FILES = {"onnx": "model.onnx", "litert": "model.tflite"}
RUNTIMES = {"onnx": "ONNX Runtime", "litert": "LiteRT"}
OPSET = 18  # of ONNX
_OPERATION = re.compile(
    r"(?:Unsupported ops: Counter\(\{'|error: '?tf\.|Tensorflow op \[\S+: )(\w+)"
)


def export(run, output, variant, kind, *, which="best", **about):
    """Writes the next version of a model as one graph.

    Args:
        run: run directory written by train.py.
        output: folder of the model, made if it is missing.
        variant: `saved_model.Variant` in float32; its `fixed_shape` is the
            size at which the model sees frames.
        kind: key of `FILES`.
        which: `"best"` or `"last"` checkpoint.
        **about: `evaluation`, `licence` and `preset` as
            `saved_model.saved_model` takes them.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: the converter is missing or knows no such operation, the run
            is no whole run, or the folder cannot be written.
    """
    if variant.precision != "float32":
        raise UserError(
            f"--format={kind} is in float32; leave out "
            f"--precision={variant.precision}"
        )
    convert = {"onnx": _onnx, "litert": _litert}[kind]
    if kind == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        raise UserError(
            "tf2onnx is not installed, which --format=onnx needs; install it "
            "(pip install 'keras_vas[onnx]')"
        )
    saved_model.check_folder(output)
    model, vocabulary, config = saved_model.load(run, which)
    size = fixed_folder.network_size(variant, config)
    try:
        content = convert(model, traced(model, *size))
    except Exception as error:
        # The converters raise what they like, tf2onnx bare exceptions.
        raise UserError(
            f"this model cannot be converted for {RUNTIMES[kind]}: "
            f"{refused(error)}; take --format=savedmodel or openvino"
        ) from error
    return fixed_folder.write(
        run,
        output,
        (model, vocabulary, config),
        size,
        lambda folder: (folder / FILES[kind]).write_bytes(content),
        {"runtime": RUNTIMES[kind]},
        precision=variant.precision,
        which=which,
        **{"evaluation": None, **about},
    )


def traced(model, height, width):
    """A `tf.function` of `frames` and `tokens` of fixed sizes."""
    frames = [1, model.input["frames"].shape[1], height, width, 3]
    return tf.function(
        lambda frames, tokens: {
            "mask_logits": model(
                {"frames": frames, "tokens": tokens}, training=False
            )["mask_logits"]
        },
        input_signature=[
            tf.TensorSpec(frames, tf.uint8, name="frames"),
            tf.TensorSpec([1, MAX_WORDS], tf.int32, name="tokens"),
        ],
    )


def refused(error):
    """The operation that a converter's error is about, or its last line."""
    found = _OPERATION.search(str(error))
    if found:
        return f"it does not know the operation {found[1]}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:200]


def _onnx(model, function):
    import tf2onnx

    del model
    converted, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    return converted.SerializeToString()


def _litert(model, function):
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], model
    )
    return converter.convert()
