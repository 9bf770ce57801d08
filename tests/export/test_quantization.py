"""Convolutions in 8 bits: the gate, what is left out, and what is refused."""

import dataclasses
import importlib.util
import json

import numpy as np
import plain_backbones
import pytest
import small_records
import small_run

import keras_vas
from keras_vas import backbones
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.export import (
    openvino_folder,
    quantization,
    quantized_parts,
    saved_model,
)
from keras_vas.export.saved_model import Variant
from keras_vas.prediction import openvino_folding, openvino_parts

if importlib.util.find_spec("nncf") is None:
    pytest.skip(
        "no NNCF: pip install 'keras_vas[int8]'", allow_module_level=True
    )
INT8 = Variant(precision="int8")
CHECK_WORDS = quantization._check_words


@dataclasses.dataclass
class Made:
    """A run, its records, and what was made of it."""

    run: object
    data: object
    folder: object
    parts: dict
    whole: dict


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def made(patch, tmp_path_factory):
    """An export in int8 of a small network, with what NNCF made of it."""
    patch.setitem(
        backbones.TEMPORAL_BACKBONES, "plain", plain_backbones.PlainClip
    )
    patch.setattr(quantization, "MIN_CLIPS", 3)
    patch.setattr(quantization, "MIN_SAMPLES", 4)
    patch.setattr(quantization, "PROBES", 1)
    folder = tmp_path_factory.mktemp("int8")
    data = small_records.write_drawn(folder / "records", train=5)
    run = small_run.make(
        folder, temporal_backbone="plain", coordinate_fusion="conv"
    )
    patch.setattr(quantization, "_check_words", lambda *_: None)
    kept = {}
    by_nncf = quantization._by_nncf

    def keep(parts, *arguments):
        kept["parts"], kept["whole"] = parts, by_nncf(parts, *arguments)
        return kept["whole"]

    patch.setattr(quantization, "_by_nncf", keep)
    openvino_folder.export(run, folder / "small", INT8, data=data, force=True)
    patch.setattr(quantization, "_by_nncf", lambda *_: kept["whole"])
    patch.setattr(openvino_parts, "convert", lambda *_: kept["parts"])
    return Made(run, data, folder / "small", **kept)


def card_of(folder):
    path = folder / "1" / "assets.extra" / "model_card.json"
    return json.loads(path.read_text())["int8"]


def test_the_export(made):
    card = card_of(made.folder)
    assert card["calibration_clips"] == 3
    assert 4 <= card["samples"] < 20
    assert card["samples_from"] == "training videos"
    assert card["convolutions"] == 18
    lost = card["mean_iou_float32"] - card["mean_iou_int8"]
    assert card["loss_points"] == pytest.approx(100 * lost)
    video = np.random.default_rng(0).integers(0, 255, (3, 40, 70, 3), np.uint8)
    predictor = keras_vas.load(made.folder)
    assert "int8 and" in predictor.runtime
    queries = ["the bright square", "a dark square"]
    found, exact = (
        x.segment(video, queries, keep_probabilities=True).probabilities
        for x in (predictor, keras_vas.load(made.run))
    )
    assert 0 < np.abs(found - exact).mean() < 0.05 < exact.std()


def test_convolutions_are_in_8_bits(made):
    nodes = [
        node
        for part in made.whole.values()
        for node in openvino_folding.convolutions(part)
    ]
    assert len(nodes) == 18
    for node in nodes:
        assert openvino_folding.constant(node.input_value(1)) is None
    kinds = {
        node.get_type_name(): node.input_value(1).get_node().get_type_name()
        for node in made.whole["joint"].get_ordered_ops()
        if node.get_type_name() == "MatMul"
    }
    assert kinds == {"MatMul": "Constant"}


def test_what_is_left_out_is_as_before(made):
    names = list(quantized_parts.kernels(made.parts))
    found = quantized_parts.exclude(made.whole, made.parts, names)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (1, 8, 32, 64, 3), np.uint8)

    def clip(parts):
        compiled = (
            openvino_parts.library()
            .Core()
            .compile_model(
                parts["clip"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
        )
        return list(compiled({"frames": frames}).values())

    for a, b, rounded in zip(
        *map(clip, (found, made.parts, made.whole)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        assert np.abs(rounded - b).max() > 1e-3
    one = quantized_parts.exclude(made.whole, made.parts, names[-1:])
    before, after = (
        sum(
            node.get_type_name() == "FakeQuantize"
            for node in parts["joint"].get_ordered_ops()
        )
        for parts in (made.whole, one)
    )
    assert 0 < after < before
    table = quantized_parts.table(made.parts, names[-1:])
    assert table == [
        {
            "layer": "decoder_head_1_logits",
            "part": "joint",
            "kernel": [1, 8, 1, 1],
        }
    ]


@pytest.mark.parametrize(("needed", "most"), [(1, 8), (5, 8), (8, 8), (9, 8)])
def test_the_fewest_are_left_out(needed, most):
    asked = []

    def tried(number):
        asked.append(number)
        return (0.4 if number >= needed else 0.6), number

    assert quantization.fewest(tried, most)[1] == min(needed, most)
    assert len(asked) <= 5


def test_a_loss_that_is_too_large(made, monkeypatch, tmp_path):
    def mean_iou(self, segmenter):
        return 0.5 if segmenter.runtime.endswith("float32") else 0.4

    monkeypatch.setattr(openvino_parts, "has_bfloat16", lambda: True)
    monkeypatch.setattr(quantization._Measured, "mean_iou", mean_iou)
    with pytest.raises(UserError, match=r"loses 10\.00 points") as caught:
        openvino_folder.export(made.run, tmp_path / "x", INT8, data=made.data)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()
    openvino_folder.export(
        made.run, tmp_path / "x", INT8, data=made.data, force=True
    )
    card = card_of(tmp_path / "x")
    assert card["loss_points"] == pytest.approx(10)
    assert 1 <= len(card["excluded"]) < 18
    assert {"layer", "part", "kernel"} == set(card["excluded"][0])


def test_too_few_records(made, monkeypatch):
    for name, said in (("MIN_CLIPS", "5 clips"), ("MIN_SAMPLES", "samples to")):
        with monkeypatch.context() as more:
            more.setattr(quantization, name, 1000)
            with pytest.raises(UserError, match=f"{said}.*1000 are needed"):
                quantization.draw(made.data, {}, None)
            assert quantization.draw(made.data, {}, None, force=True)


def test_what_was_set_aside_judges(made):
    flags = {"validation_fraction": 0.4}
    samples = quantization.draw(made.data, flags, None)
    assert samples.source == "validation videos"
    assert len(samples.calibration) == 3
    videos = {x.video_id for x in samples.calibration}
    assert videos.isdisjoint(x.video_id for x in samples.judged)


def test_records_of_another_vocabulary(made):
    frames = quantization.draw(made.data, {}, None).calibration
    texts = [query.text for frame in frames for query in frame.queries]
    known = sorted({word for text in texts for word in text.split()})
    CHECK_WORDS(frames, Vocabulary(known), made.data)
    with pytest.raises(UserError, match=r"does not know words of \d+ of \d+"):
        CHECK_WORDS(frames, Vocabulary(["the", "red"]), made.data)


def test_what_is_missing(made, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="give --data=RECORDS"):
        openvino_folder.export(made.run, tmp_path / "x", INT8)
    with pytest.raises(UserError, match="--force is for"):
        openvino_folder.export(made.run, tmp_path / "x", Variant(), force=True)
    with pytest.raises(UserError, match="needs --format=openvino"):
        saved_model.saved_model(made.run, tmp_path / "x", INT8)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda x: x != "nncf" and found(x)
    )
    with pytest.raises(UserError, match="NNCF is not installed"):
        openvino_folder.export(made.run, tmp_path / "x", INT8, data=made.data)
    assert not (tmp_path / "x").exists()
