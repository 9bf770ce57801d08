"""A model's three parts as OpenVINO's intermediate representation (IR).

    FOLDER/openvino.json           what lies here, see `Description`
    FOLDER/clip.xml, clip.bin      frames to what no sentence changes
    FOLDER/text.xml, text.bin      tokens to what no clip changes
    FOLDER/joint.xml, joint.bin    both to `mask_logits`
    FOLDER/assets.extra/manifest.json    sizes and SHA-256 of all files

Each part takes one clip and one sentence of fixed sizes, for which OpenVINO
compiles at once. What is constant at that size is folded, see
`openvino_folding`. The weights are float32, of int8 those that 8 bits hold; a
processor that computes in bfloat16 rounds them itself.
"""

import dataclasses
import importlib.util
import logging
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from keras_vas import files
from keras_vas.data import frame_size
from keras_vas.data.text.vocabulary import MAX_WORDS
from keras_vas.errors import UserError
from keras_vas.models.sentence_split import split_in_three
from keras_vas.models.variables import model_variables
from keras_vas.prediction import openvino_folding
from keras_vas.prediction.segmenters import MANIFEST

FILE = "openvino.json"
PARTS = ("clip", "text", "joint")
# of what is computed in floating point, where the processor has it
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
VERSION = 1
_DEVICE = "CPU"
_LOGITS = "mask_logits"


@dataclasses.dataclass(frozen=True)
class Description:
    """What `openvino.json` says.

    Attributes:
        height: of the network's frames in pixels, a multiple of 32.
        width: likewise.
        precision: of the arithmetic, a key of `PRECISIONS`; with `"int8"`
            the convolutions of which the parts say so.
        openvino: version that converted the model.
        version: of this layout of files.
    """

    height: int
    width: int
    precision: str
    openvino: str
    version: int = VERSION


def installed():
    """Whether there is OpenVINO."""
    return importlib.util.find_spec("openvino") is not None


def library():
    """The module `openvino`.

    Raises:
        UserError: it is not installed.
    """
    if not installed():
        raise UserError(
            "OpenVINO is not installed; install it (pip install "
            "'keras_vas[openvino]'), or compute with --runtime=tensorflow"
        )
    # Importing OpenVINO reports that to its makers, unless this is missing.
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def has_bfloat16():
    """Whether the processor computes in bfloat16 (AVX-512 BF16 or AMX)."""
    core = library().Core()
    return "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def convert(model, height, width):
    """Converts a model.

    Args:
        model: `SegmentationModel` in float32.
        height: of the network's frames in pixels, a multiple of 32.
        width: likewise.

    Returns:
        Dict of the names in `PARTS` to `openvino.Model`.

    Raises:
        UserError: OpenVINO is missing, or cannot convert the model.
    """
    openvino = library()
    clip, text, joint = split_in_three(model)
    frames = [1, model.input["frames"].shape[1], height, width, 3]
    clip = _traced(clip, {"frames": tf.TensorSpec(frames, tf.uint8)})
    text = _traced(text, {"tokens": tf.TensorSpec([1, MAX_WORDS], tf.int32)})
    shared = {**clip.structured_outputs, **text.structured_outputs}
    functions = clip, text, _traced(joint, shared)
    variables = [variable.value for variable in model.variables]
    names = {
        openvino_folding.key(
            np.moveaxis(variable, (-1, -2), (0, 1))
        ): path.removesuffix("/kernel")
        for path, variable in model_variables(model).items()
        if len(variable.shape) > 3
    }
    parts = {}
    for name, function in zip(PARTS, functions, strict=True):
        parts[name] = _converted(name, function, variables)
        openvino_folding.fold(openvino, parts[name], names)
    return parts


def save(folder, parts, height, width, precision="float32"):
    """Writes the files of a converted model.

    Args:
        folder: `pathlib.Path` of a folder, to which the files are added. The
            manifest is left to the caller, who may add more.
        parts: dict that `convert` returned.
        height: of the network's frames in pixels.
        width: likewise.
        precision: key of `PRECISIONS`, for the description.
    """
    openvino = library()
    for name, part in parts.items():
        openvino.save_model(
            part, folder / f"{name}.xml", compress_to_fp16=False
        )
    described = Description(height, width, precision, _version(openvino))
    files.write_json(folder / FILE, dataclasses.asdict(described))


def read(folder, precision=None):
    """Compiles the parts of a folder.

    Args:
        folder: that `write` filled.
        precision: of the arithmetic, instead of the folder's own.

    Returns:
        `(parts, description, runtime)`: dict of the names in `PARTS` to a
        list of `openvino.CompiledModel` that together make its tensors, the
        `Description`, and a str that says what computes.

    Raises:
        UserError: OpenVINO is missing, or the folder is damaged, of another
            version or of something else.
    """
    openvino, folder = library(), pathlib.Path(folder)
    advice = "export it again"
    files.check_manifest(folder, folder / MANIFEST, advice)
    described = _described(files.read_json(folder / FILE, advice), folder)
    precision = precision or described.precision
    hint, arithmetic = PRECISIONS[precision], precision
    if precision == "int8":
        arithmetic = "int8 and bfloat16"
    if hint == PRECISIONS["bfloat16"] and not has_bfloat16():
        hint = PRECISIONS["float32"]
        arithmetic = arithmetic.replace("bfloat16", "float32")
        arithmetic += " (this processor has no bfloat16)"
    core, parts = openvino.Core(), {}
    for name in PARTS:
        try:
            parts[name] = core.read_model(folder / f"{name}.xml")
        except RuntimeError as error:
            raise UserError(
                f"OpenVINO {_version(openvino)} cannot read "
                f"{folder / name}.xml ({_last_line(error)}); {advice}"
            ) from error
    if not _fit(parts, described):
        raise UserError(
            f"{folder} holds OpenVINO models of something else; name a folder "
            "that export.py --format=openvino wrote"
        )
    compiled = {
        name: [
            core.compile_model(
                piece,
                _DEVICE,
                {
                    "INFERENCE_PRECISION_HINT": computed,
                    "PERFORMANCE_HINT": "LATENCY",
                },
            )
            for piece, computed in _pieces(name, part, hint)
        ]
        for name, part in parts.items()
    }
    return compiled, described, f"OpenVINO {_version(openvino)}, {arithmetic}"


def _pieces(name, part, hint):
    """Yields what to compile of a part, each with its precision.

    What the clip part makes of the target frame alone, of the shape
    `(1, h, w, channels)`, stays in float32: it is the smaller share, and
    rounding it costs more of the masks than rounding all else.
    """
    exact = PRECISIONS["float32"]
    still = [x for x in part.outputs if len(x.partial_shape) == 4]
    moving = [x for x in part.outputs if len(x.partial_shape) != 4]
    if name != "clip" or hint == exact or not (still and moving):
        yield part, hint
        return
    for outputs, computed in ((still, exact), (moving, hint)):
        yield library().Model(outputs, part.get_parameters()), computed


def _traced(part, specs):
    """A part as a concrete function of a dict of tensors with these names."""
    specs = {
        name: tf.TensorSpec(x.shape, x.dtype, name=name)
        for name, x in specs.items()
    }
    return tf.function(
        lambda inputs: part(inputs, training=False), input_signature=[specs]
    ).get_concrete_function()


def _converted(name, function, variables):
    """An `openvino.Model` whose tensors have the names of the function's."""
    openvino, module = library(), tf.Module()
    module.function, module.model_variables = function, variables
    with tempfile.TemporaryDirectory() as folder:
        logging.disable(logging.INFO)
        try:
            tf.saved_model.save(module, folder, signatures=function)
        finally:
            logging.disable(logging.NOTSET)
        try:
            return openvino.Core().read_model(folder)
        except RuntimeError as error:
            raise UserError(
                f"OpenVINO {_version(openvino)} cannot convert the {name} part "
                f"of this model ({_last_line(error)}); compute with TensorFlow"
            ) from error


def _described(content, folder):
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else None
        raise UserError(
            f"{folder} was written for version {found} of this format, and "
            f"this program reads version {VERSION}; export it again"
        )
    try:
        described = Description(**content)
        frame_size.check_size(described.height, described.width)
        PRECISIONS[described.precision]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder / FILE} describes no model of export.py ({error}); "
            "export it again"
        ) from error
    return described


def _fit(parts, described):
    """Whether the parts take frames and tokens and give a mask."""
    size = described.height, described.width
    inputs = {k: _shapes(x.inputs) for k, x in parts.items()}
    outputs = {k: _shapes(x.outputs) for k, x in parts.items()}
    (frames,) = inputs["clip"].values() if len(inputs["clip"]) == 1 else ((),)
    return (
        list(inputs["clip"]) == ["frames"]
        and (len(frames), frames[2:]) == (5, (*size, 3))
        and inputs["text"] == {"tokens": (1, MAX_WORDS)}
        and inputs["joint"].items()
        <= (outputs["clip"] | outputs["text"]).items()
        and outputs["joint"] == {_LOGITS: (1, *size, 1)}
    )


def _shapes(ports):
    return {
        port.any_name: tuple(
            x.get_length() if x.is_static else None for x in port.partial_shape
        )
        for port in ports
    }


def _last_line(error):
    return str(error).strip().splitlines()[-1].strip()


def _version(openvino):
    return openvino.__version__.split("-")[0]
