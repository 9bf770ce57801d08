"""What OpenVINO computes, against the same model in TensorFlow."""

import importlib
import importlib.util
import json
import shutil

import numpy as np
import pytest
import small_run

import keras_vas
from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.export import fixed_folder, openvino_folder
from keras_vas.export.saved_model import Variant
from keras_vas.prediction import openvino_parts, runtimes
from keras_vas.prediction.openvino_segmenter import OpenVINOSegmenter
from keras_vas.presence import score as presence_score
from keras_vas.weights import cache as weights_cache

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="no OpenVINO: pip install 'keras_vas[openvino]'",
)
QUERIES = ["the bright square", "a dark square on the left", "a zebra"]
CALIBRATION = presence_score.Calibration(0.5, -0.25, "a test", threshold=0.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = small_run.make(tmp_path_factory.mktemp("run"))
    CALIBRATION.save(run)
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The folder above an export in float32."""
    folder = tmp_path_factory.mktemp("exports") / "small"
    openvino_folder.export(run, folder, Variant())
    return folder


@pytest.fixture(scope="module")
def video():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (5, 45, 70, 3), np.uint8)


@pytest.fixture(scope="module")
def expected(run, video):
    return keras_vas.load(run).segment(video, QUERIES, keep_probabilities=True)


@pytest.fixture
def copy(exported, tmp_path):
    """A version's folder that a test may spoil, without a manifest."""
    folder = shutil.copytree(exported / "1", tmp_path / "copy")
    (folder / openvino_parts.MANIFEST).unlink()
    return folder


@pytest.fixture
def cache(exported, tmp_path, monkeypatch):
    """An empty cache, and a list of the conversions, which are copies."""
    monkeypatch.setenv(weights_cache.VARIABLE, str(tmp_path))
    made = []

    def convert(model, height, width):
        made.append((height, width))
        return exported / "1"

    def save(folder, parts, height, width):
        for path in parts.iterdir():
            if path.is_file():
                shutil.copy(path, folder)

    monkeypatch.setattr(openvino_parts, "convert", convert)
    monkeypatch.setattr(openvino_parts, "save", save)
    return tmp_path / runtimes.FOLDER, made


def test_float32_gives_the_same_probabilities(exported, video, expected):
    predictor = keras_vas.load(exported)
    found = predictor.segment(
        video, QUERIES, keep_probabilities=True, batch_size=2
    )
    np.testing.assert_allclose(
        found.probabilities, expected.probabilities, rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    assert np.ptp(expected.probabilities) > 0.3
    assert predictor.runtime.startswith("OpenVINO 20")
    assert predictor.runtime.endswith(", float32")
    assert predictor.threshold == CALIBRATION.threshold
    assert predictor.unknown_words(QUERIES) == ["zebra"]
    assert str(predictor.about).startswith("small (")
    with pytest.raises(UserError, match="no attention maps"):
        predictor.attention(video, QUERIES[0])


def test_bfloat16_gives_almost_the_same_masks(exported, video, expected):
    vocabulary = keras_vas.load(exported).vocabulary
    segmenter = OpenVINOSegmenter(
        exported / "1", vocabulary, CALIBRATION, "bfloat16"
    )
    if not openvino_parts.has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    assert segmenter.runtime.endswith(", bfloat16")
    numbers = (0, 0, 1, 1, 2, 2, 3, 4)
    clip = np.stack([segmenter.shrink(video[i]) for i in numbers])
    text = segmenter.encode(QUERIES)
    rounded, _ = segmenter.run(clip[None], text)
    exact, _ = OpenVINOSegmenter(
        exported / "1", vocabulary, CALIBRATION, "float32"
    ).run(clip[None], text)
    assert 0 < np.abs(rounded - exact).max() < 0.05
    a, b = rounded > CALIBRATION.threshold, exact > CALIBRATION.threshold
    # Noise has more pixels near the threshold than a trained model has.
    assert (a & b).sum() / (a | b).sum() >= 0.98


def test_what_needs_no_motion_stays_in_float32():
    library = openvino_parts.library()
    from openvino import opset13

    given = opset13.parameter([1, 8, 2, 2, 3], np.float32, name="frames")
    still = opset13.squeeze(opset13.reduce_max(given, [1], True), [1])
    model = library.Model([still, opset13.relu(given)], [given])

    def pieces(name, hint):
        return [
            ([len(x.partial_shape) for x in piece.outputs], computed)
            for piece, computed in openvino_parts._pieces(name, model, hint)
        ]

    assert pieces("clip", "bf16") == [([4], "f32"), ([5], "bf16")]
    assert pieces("clip", "f32") == [([4, 5], "f32")]
    assert pieces("joint", "bf16") == [([4, 5], "bf16")]


def test_it_reports_nothing_to_its_makers():
    openvino_parts.library()
    with pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")


def test_without_bfloat16_it_says_so(exported, monkeypatch):
    monkeypatch.setattr(openvino_parts, "has_bfloat16", lambda: False)
    segmenter = OpenVINOSegmenter(exported / "1", None, CALIBRATION, "bfloat16")
    assert segmenter.runtime.endswith(
        ", float32 (this processor has no bfloat16)"
    )


def test_a_run_is_converted_once(run, cache, capsys):
    folder, made = cache
    first = keras_vas.load(run, runtime="auto")
    assert "converting" in capsys.readouterr().err
    second = keras_vas.load(run, runtime="openvino")
    assert capsys.readouterr().err == ""
    assert made == [(small_run.HEIGHT, small_run.WIDTH)]
    assert first.runtime == second.runtime
    assert first.runtime.startswith("OpenVINO 20")
    assert first.model is not None
    (entry,) = folder.iterdir()
    assert (entry / openvino_parts.MANIFEST).is_file()


def test_the_key_follows_weights_and_size(run):
    model = keras_vas.load(run).model
    before = runtimes._key(model, 32, 64)
    assert runtimes._key(model, 32, 64) == before
    assert runtimes._key(model, 64, 64) != before
    bias = model.get_layer("decoder_head_1_logits").bias
    bias.assign(bias + 1)
    assert runtimes._key(model, 32, 64) != before


@pytest.mark.parametrize("spoil", ["damaged", "foreign", "a file"])
def test_a_broken_entry_is_made_anew(run, cache, spoil):
    folder, made = cache
    keras_vas.load(run, runtime="openvino")
    (entry,) = folder.iterdir()
    if spoil == "damaged":
        (entry / "joint.bin").write_bytes(b"nothing")
    else:
        shutil.rmtree(entry)
    if spoil == "foreign":
        entry.mkdir()
        (entry / "notes.txt").write_text("mine")
    if spoil == "a file":
        entry.write_text("mine")
    assert keras_vas.load(run, runtime="auto").runtime.startswith("OpenVINO")
    assert len(made) == 2
    assert not (entry / "notes.txt").exists()
    assert list(folder.iterdir()) == [entry]


def test_the_cache_holds_a_few_models(run, cache):
    folder, _ = cache
    for number in range(runtimes.KEPT):
        (folder / f"{number:064x}").mkdir(parents=True)
    (folder / "mine").mkdir()
    keras_vas.load(run, runtime="openvino")
    names = {path.name for path in folder.iterdir()}
    assert len(names) == runtimes.KEPT + 1
    assert "mine" in names


def test_a_cache_that_cannot_be_written(run, cache, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weights_cache.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot keep a converted model"):
        keras_vas.load(run, runtime="openvino")
    assert keras_vas.load(run, runtime="auto").runtime.startswith("TensorFlow")


def test_without_openvino(run, exported, monkeypatch, tmp_path):
    monkeypatch.setattr(openvino_parts, "installed", lambda: False)
    found = keras_vas.load(run, runtime="auto").runtime
    assert found.startswith("TensorFlow ")
    assert found.endswith(", float32 (OpenVINO is not installed)")
    for attempt in (
        lambda: keras_vas.load(run, runtime="openvino"),
        lambda: keras_vas.load(exported),
        lambda: openvino_folder.export(run, tmp_path / "new", Variant()),
    ):
        with pytest.raises(UserError, match=r"^OpenVINO is not installed; "):
            attempt()
    assert not (tmp_path / "new").exists()


def test_an_export_is_bound_to_its_runtime(exported):
    assert keras_vas.load(exported, runtime="auto").runtime.startswith("Open")
    with pytest.raises(UserError, match="is computed by openvino alone"):
        keras_vas.load(exported, runtime="tensorflow")


def test_damage_is_noticed(exported, tmp_path):
    folder = shutil.copytree(exported / "1", tmp_path / "copy")
    with open(folder / "joint.bin", "r+b") as file:
        file.write(b"xxxx")
    with pytest.raises(UserError, match="edited or is damaged"):
        keras_vas.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 7}, "written for version 7 of this format"),
        ({"precision": "int4"}, "describes no model of export.py"),
        ({"height": 33}, "describes no model of export.py"),
        ({"colour": "red"}, "describes no model of export.py"),
        ({"height": 64}, "models of something else"),
    ],
)
def test_a_folder_of_another_kind(copy, change, said):
    content = json.loads((copy / openvino_parts.FILE).read_text())
    files.write_json(copy / openvino_parts.FILE, {**content, **change})
    with pytest.raises(UserError, match=said) as caught:
        keras_vas.load(copy)
    assert "\n" not in str(caught.value)


def test_parts_of_something_else(copy):
    for suffix in ("xml", "bin"):
        shutil.copy(copy / f"text.{suffix}", copy / f"joint.{suffix}")
    with pytest.raises(UserError, match="models of something else"):
        keras_vas.load(copy)
    (copy / "joint.xml").write_text("<net>")
    with pytest.raises(UserError, match=r"cannot read .*joint\.xml") as caught:
        keras_vas.load(copy)
    assert "\n" not in str(caught.value)


def test_the_card(exported):
    path = exported / "1" / "assets.extra" / "model_card.json"
    card = json.loads(path.read_text())
    assert card["runtime"] == "OpenVINO"
    assert card["precision"] == "float32"
    assert card["inputs"]["network_size"] == [
        small_run.HEIGHT,
        small_run.WIDTH,
    ]
    assert card["mask"]["threshold"] == CALIBRATION.threshold
    assert "outputs" not in card


def test_the_size_at_which_the_model_sees_frames():
    config = {"flags": {"frame_height": 32, "frame_width": 64}}
    size = fixed_folder.network_size
    assert size(Variant(), config) == (32, 64)
    assert size(Variant(height=96), config) == (96, 64)
    assert size(Variant(fixed_shape="64x96"), config) == (64, 96)
    with pytest.raises(UserError, match="33"):
        size(Variant(fixed_shape="33x96"), config)
    with pytest.raises(UserError, match="leave out --height and --width"):
        size(Variant(fixed_shape="64x96", width=32), config)
    with pytest.raises(UserError, match="one clip at a time"):
        size(Variant(batch_size=2), config)
