"""One graph, by its own runtime, against the same model in TensorFlow."""

import importlib.util
import json

import numpy as np
import plain_backbones
import pytest
import small_run
import tensorflow as tf

from keras_vas import backbones
from keras_vas.errors import UserError
from keras_vas.export import one_graph
from keras_vas.export.saved_model import Variant
from keras_vas.runs import run as run_directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            backbones.SPATIAL_BACKBONES, "plain", plain_backbones.Plain
        )
        patch.setitem(
            backbones.TEMPORAL_BACKBONES, "plain", plain_backbones.PlainClip
        )
        yield small_run.make(
            tmp_path_factory.mktemp("run"),
            encoders="both",
            spatial_backbone="plain",
            temporal_backbone="plain",
            coordinate_fusion="conv",
            cmam_stages=(1, 2, 3, 5),
        )


@pytest.fixture(scope="module")
def inputs(run):
    """Frames and tokens, and the logits of TensorFlow."""
    model, vocabulary, _ = run_directory.load_run(run)
    frames = np.random.default_rng(0).integers(
        0, 255, (1, 8, 32, 64, 3), np.uint8
    )
    tokens = np.asarray(vocabulary.encode(["the bright square"]))
    given = {"frames": frames, "tokens": tokens}
    return given, model(given, training=False)["mask_logits"].numpy()


def by_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    return session.run(["mask_logits"], inputs)[0]


def by_litert(path, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], inputs[tensor["name"]])
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"])


@pytest.mark.parametrize(
    ("kind", "needed", "compute"),
    [
        ("onnx", ("tf2onnx", "onnxruntime"), by_onnx),
        ("litert", ("ai_edge_litert",), by_litert),
    ],
)
def test_its_runtime_computes_the_same(
    run, inputs, tmp_path, kind, needed, compute
):
    for module in needed:
        pytest.importorskip(module)
    given, expected = inputs
    folder = one_graph.export(run, tmp_path / kind, Variant(), kind)
    found = compute(folder / one_graph.FILES[kind], given)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.5
    card = json.loads((folder / "assets.extra/model_card.json").read_text())
    assert card["runtime"] == one_graph.RUNTIMES[kind]
    assert card["inputs"]["network_size"] == [32, 64]
    assert (folder / "assets/vocabulary.txt").is_file()


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_an_operation_that_a_format_has_not(kind):
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    function = tf.function(
        lambda x: {"y": tf.math.bessel_i0e(x)},
        input_signature=[tf.TensorSpec([2], tf.float32, name="x")],
    )
    with pytest.raises(UserError, match="no operation BesselI0e") as caught:
        one_graph.convert(kind, function)
    assert "\n" not in str(caught.value)


def test_what_is_refused(run, monkeypatch, tmp_path):
    output = tmp_path / "x"
    with pytest.raises(UserError, match="leave out --precision=bfloat16"):
        one_graph.export(run, output, Variant(precision="bfloat16"), "onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="tf2onnx is not installed"):
        one_graph.export(run, output, Variant(), "onnx")
    assert not output.exists()
