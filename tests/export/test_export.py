"""export.py: a SavedModel in three loaders, its limits, and its files."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
import zlib

import cv2
import keras
import markdown_it
import numpy as np
import pytest
import saved_model_c_api
import small_records
import tensorflow as tf
from saved_model_c_api import InvalidArgumentError
from tensorflow.core.framework import tensor_pb2

from keras_vas import presets
from keras_vas.data import transforms
from keras_vas.data.records import schema
from keras_vas.data.records import shard as shard_files
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.export import checks, images, model_card, saved_model, warmup
from keras_vas.models import variables
from keras_vas.models.cstm.cstm import CSTM
from keras_vas.prediction import predictor as predictor_module
from keras_vas.prediction.segmenters import SavedModelSegmenter
from keras_vas.presence import score as presence_score
from keras_vas.presets import preset_file
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

CALIBRATION = presence_score.Calibration(0.5, -0.25, "a test", threshold=0.3)
HEIGHT, WIDTH = 32, 64
LOAD = saved_model.load
QUERIES = ["the dog on the left", "A dog!", "zebra", ""]
SIGNATURES = [
    "serving_default",
    "segment_jpeg",
    "segment_many",
    "segment_many_jpeg",
    "describe",
]
METRICS = {
    "dataset": "fabricated",
    "split": "test",
    "checkpoint": "best",
    "mean_iou": 0.625,
    "precision": {"0.5": 0.75},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of an untrained model, as train.py leaves it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    vocabulary = Vocabulary(["the", "dog", "left", "on"])
    keras.utils.set_random_seed(5)
    model = CSTM(
        vocabulary_size=len(vocabulary),
        encoders="temporal",
        cmam_stages=(5,),
        coordinate_fusion="linear",
        width=0.0625,
        decoder_channels=64,
        embedding_dim=8,
    )
    vocabulary.save(folder / "vocabulary.txt")
    config = {
        "flags": {"frame_height": HEIGHT, "frame_width": WIDTH},
        "model": model.get_config(),
        "data_manifest": {
            "dataset": "fabricated",
            "splits": {"train": {"videos": 3, "samples": 7, "shards": []}},
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(
        json.dumps({"workdir": str(folder), "seconds": 3.5, **METRICS})
    )
    arrays = checkpoint.read(variables.model_variables(model))
    metadata = {"training_only": [], "best": {"mean_iou": 0.25}}
    for path in (
        run_directory.best_path(folder),
        run_directory.last_path(folder),
    ):
        checkpoint.save(path, arrays, metadata)
    CALIBRATION.save(folder)
    return folder


def small_model():
    """A few layers with the inputs, the output and a GRU like CSTM."""
    frames = keras.Input((8, None, None, 3), name="frames")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    words = keras.layers.Embedding(6, 8, "normal", name="words")(tokens) * 20
    cell = keras.layers.GRUCell(8, recurrent_initializer="glorot_uniform")
    words = keras.layers.RNN(cell, name="text_gru")(words)
    x = keras.layers.Rescaling(1 / 255, name="scale")(frames)
    x = keras.layers.Conv3D(8, 3, padding="same", name="conv_3d")(x)
    x = keras.layers.BatchNormalization(name="normalization")(x)
    x = keras.layers.ReLU(name="relu")(x)[:, 4]
    x = x * (1 + keras.layers.Dense(8, name="gate")(words)[:, None, None])
    x = keras.layers.Conv2D(1, 3, padding="same", name="mask")(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")
    return keras.Model(
        {"frames": frames, "tokens": tokens}, {"mask_logits": logits(x) * 9}
    )


@pytest.fixture(scope="module")
def small(run):
    """Lets the run hold the small model, whose graph is made in a second."""

    def load(run, which="best", precision="float32"):
        keras.utils.set_random_seed(5)
        keras.config.set_dtype_policy(precision)
        network = small_model()
        keras.config.set_dtype_policy("float32")
        values = [np.asarray(v) for v in small_model().weights]
        network.set_weights(values)
        vocabulary = run_directory.load_vocabulary(run)
        return network, vocabulary, run_directory.read_config(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "load", load)
        yield load


@pytest.fixture(scope="module")
def output(run, small, tmp_path_factory):
    """Folder `cstm` with an exported version 1."""
    folder = tmp_path_factory.mktemp("exported") / "cstm"
    path = saved_model.saved_model(
        run,
        folder,
        saved_model.Variant(HEIGHT, WIDTH),
        licence="as the test likes",
    )
    assert path == folder / "1"
    return folder


@pytest.fixture(scope="module")
def session(output):
    return saved_model_c_api.Session(output / "1")


@pytest.fixture(scope="module")
def python_model(run, small):
    """Frames and sentences to masks and scores, without any export."""
    return predictor(*small(run)[:2])


def predictor(model, vocabulary):
    def predict(frames, queries):
        inputs = {
            "frames": transforms.letterbox(frames, HEIGHT, WIDTH),
            "tokens": vocabulary.encode(queries),
        }
        logits = model(inputs, training=False)["mask_logits"]
        masks = transforms.unletterbox(tf.sigmoid(logits), *frames.shape[-3:-1])
        score = CALIBRATION.score(presence_score.evidence(logits))
        return masks.numpy()[..., 0], np.asarray(score)

    return predict


def clips(count, height=29, width=43):
    """Uint8 clips of coloured rectangles, each of another colour and place."""
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 60, (count, 8, height, width, 3), np.uint8)
    for i, clip in enumerate(frames):
        clip[:, i : height // 2 + i, 2 * i : width // 2] = 80 + 40 * i, 200, 9
    return frames


def encoded(texts):
    return [text.encode() for text in texts]


def png(image):
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels == 3:
        image = image[..., ::-1]
    elif channels == 4:
        image = image[..., [2, 1, 0, 3]]
    return cv2.imencode(".png", image)[1].tobytes()


def jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


def load_signature(folder):
    loaded = tf.saved_model.load(str(folder))

    def call(name, **inputs):
        tensors = {k: tf.constant(v) for k, v in inputs.items()}
        outputs = loaded.signatures[name](**tensors)
        return {k: v.numpy() for k, v in outputs.items()}

    return call


def load_layer(folder):
    def call(name, **inputs):
        name = "serve" if name == "serving_default" else name
        layer = keras.layers.TFSMLayer(str(folder), call_endpoint=name)
        outputs = layer({k: tf.constant(v) for k, v in inputs.items()})
        return {k: v.numpy() for k, v in outputs.items()}

    return call


def load_c(folder):
    return saved_model_c_api.Session(folder).run


@pytest.mark.parametrize("load", [load_signature, load_layer, load_c])
def test_signatures_give_the_numbers_of_the_python_model(
    output, python_model, load
):
    call = load(output / "1")
    frames = clips(3)
    masks, scores = python_model(frames, QUERIES[:3])
    queries = encoded(QUERIES)
    found = call("serving_default", frames=frames, query=queries[:3])
    assert masks.std() > 1e-3
    np.testing.assert_allclose(found["mask"], masks, atol=1e-4)
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)

    files = [[png(frame) for frame in clip] for clip in frames]
    found = call("segment_jpeg", frames=files, query=queries[:3])
    for data, mask in zip(found["mask_png_bytes"], masks, strict=True):
        drawn = cv2.imdecode(np.frombuffer(data, np.uint8), -1)
        assert drawn.dtype == np.uint8
        np.testing.assert_allclose(drawn, 255 * mask, atol=0.5 + 0.03)
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)

    many = python_model(np.repeat(frames[:1], 4, axis=0), QUERIES)
    found = call("segment_many", frames=frames[0], queries=queries)
    np.testing.assert_allclose(found["masks"], many[0], atol=1e-4)
    np.testing.assert_allclose(found["scores"], many[1], atol=1e-4)
    found = call("segment_many_jpeg", frames=files[0], queries=queries)
    assert len(found["masks_png_bytes"]) == 4
    for data, mask in zip(found["masks_png_bytes"], many[0], strict=True):
        drawn = cv2.imdecode(np.frombuffer(data, np.uint8), -1)
        assert drawn.dtype == np.uint8
        np.testing.assert_allclose(drawn, 255 * mask, atol=0.5 + 0.03)
    np.testing.assert_allclose(found["scores"], many[1], atol=1e-4)


def test_unknown_words_the_threshold_and_the_model_are_described(session):
    # the words that are known: the, dog, left, on
    sentences = ["The dog, on", "a Wörterwurm: a dog", "", "x " * 19 + "y z"]
    found = session.run("describe", queries=encoded(sentences))
    assert [x.decode() for x in found["unknown_words"]] == [
        ",",
        "a wörterwurm : a",
        "",
        " ".join(["x"] * 19 + ["y"]),
    ]
    np.testing.assert_allclose(found["threshold"], [0.3] * 4, rtol=1e-6)
    assert set(found["about"]) == {
        b"cstm (Functional): trained on fabricated (3 videos); 4 words."
    }


def test_a_loaded_export_has_the_threshold_of_the_run(output):
    assert predictor_module.load(output).threshold == 0.3


def test_more_rows_than_are_worked_on_at_once(session, python_model):
    frames = clips(3)[[0, 1, 2] * 4]
    queries = (QUERIES * 3)[:12]
    masks, scores = python_model(frames, queries)
    found = session.run(
        "serving_default", frames=frames, query=encoded(queries)
    )
    np.testing.assert_allclose(found["mask"], masks, atol=1e-4)
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)
    found = session.run(
        "segment_many", frames=frames[0], queries=encoded(QUERIES * 5)
    )
    assert found["masks"].shape == (20, 29, 43)
    np.testing.assert_allclose(
        found["masks"][:4], found["masks"][16:], atol=1e-6
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (77, 1), (32, 64)])
def test_any_size(session, python_model, size):
    frames = clips(1, *size)
    masks, scores = python_model(frames, QUERIES[:1])
    found = session.run(
        "serving_default", frames=frames, query=encoded(QUERIES[:1])
    )
    assert found["mask"].shape == (1, *size)
    np.testing.assert_allclose(found["mask"], masks, atol=1e-4)
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)


def test_signatures_declare_names_types_and_sizes(session):
    def described(infos):
        return {
            name: (info.dtype, [d.size for d in info.tensor_shape.dim])
            for name, info in infos.items()
        }

    uint8, string, number = 4, 7, 1
    defined = session.meta_graph.signature_def
    assert {
        name: (described(d.inputs), described(d.outputs))
        for name, d in defined.items()
        if not name.startswith("__")
    } == {
        "serving_default": (
            {
                "frames": (uint8, [-1, 8, -1, -1, 3]),
                "query": (string, [-1]),
            },
            {"mask": (number, [-1, -1, -1]), "score": (number, [-1])},
        ),
        "segment_jpeg": (
            {"frames": (string, [-1, 8]), "query": (string, [-1])},
            {"mask_png_bytes": (string, [-1]), "score": (number, [-1])},
        ),
        "segment_many": (
            {"frames": (uint8, [8, -1, -1, 3]), "queries": (string, [-1])},
            {"masks": (number, [-1, -1, -1]), "scores": (number, [-1])},
        ),
        "segment_many_jpeg": (
            {"frames": (string, [8]), "queries": (string, [-1])},
            {"masks_png_bytes": (string, [-1]), "scores": (number, [-1])},
        ),
        "describe": (
            {"queries": (string, [-1])},
            {
                "unknown_words": (string, [-1]),
                "threshold": (number, [-1]),
                "about": (string, [-1]),
            },
        ),
    }


F = clips(2)
Q = [b"a", b"b"]
WRONG_SHAPES = {
    "five frames": ("serving_default", F[:, :5], Q, "[2 5 29 43 3]"),
    "two channels": ("serving_default", F[..., :2], Q, "[2 8 29 43 2]"),
    "no batch": ("serving_default", F[0], Q, "[8 29 43 3]"),
    "one query": ("serving_default", F, Q[:1], "agree"),
    "nested query": ("serving_default", F, [Q], "query must have one dim"),
    "nothing": ("serving_default", F[:0], Q, "[0 8 29 43 3]"),
    "no height": ("serving_default", F[:, :, :0], Q, "[2 8 0 43 3]"),
    "300 rows": (
        "serving_default",
        np.zeros((300, 8, 1, 1, 3), np.uint8),
        [b"a"] * 300,
        "256 rows in a request; got",
    ),
    "10,000 queries": ("segment_many", F[0], [b"a"] * 10_000, "[10000]"),
    "no queries": ("segment_many", F[0], np.zeros(0, object), "queries must"),
    "seven frames": ("segment_many", F[0, :7], Q, "[7 29 43 3]"),
    "seven files": ("segment_jpeg", [[png(F[0, 0])] * 7], Q[:1], "[1 7]"),
    "one clip's seven files": (
        "segment_many_jpeg",
        [png(F[0, 0])] * 7,
        Q,
        "[7]",
    ),
    "many queries": (
        "segment_many_jpeg",
        [png(F[0, 0])] * 8,
        [b"a"] * 300,
        "256 rows in a request; got",
    ),
    "large masks of files": (
        "segment_many_jpeg",
        [png(np.zeros((1500, 1500, 3), np.uint8))] * 8,
        [b"a"] * 200,
        "[200 1500 1500]",
    ),
    "large masks": (
        "segment_many",
        np.zeros((8, 1500, 1500, 3), np.uint8),
        [b"a"] * 200,
        "[200 1500 1500]",
    ),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_a_wrong_shape_is_refused_with_its_reason(session, case):
    signature, frames, queries, reason = WRONG_SHAPES[case]
    name = "queries" if "many" in signature else "query"
    with pytest.raises(InvalidArgumentError) as caught:
        session.run(signature, frames=frames, **{name: queries})
    assert reason in str(caught.value)


def declared_png(width, height):
    """A PNG of a few bytes that claims to be large."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def declared_jpeg(width, height):
    data = jpeg(F[0, 0])
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


BAD_PICTURES = {
    "empty": ([b""] * 8, "[0 0] [bytes:] [0]"),
    "garbage": ([b"garbage"] * 8, "no JPEG or PNG"),
    "gif": ([b"GIF89a" + bytes(90)] * 8, "no JPEG or PNG"),
    "short png": ([png(F[0, 0])[:20]] * 8, "no JPEG or PNG"),
    "cut png": ([png(F[0, 0])[:300]] * 8, "Invalid PNG"),
    "cut jpeg": ([jpeg(F[0, 0])[:200]] * 8, "Invalid JPEG"),
    "last one": ([jpeg(F[0, 0])] * 7 + [b"x"], "[0 7] [bytes:] [1]"),
    "png bomb": ([declared_png(50_000, 60_000)] * 8, "[60000 50000]"),
    "largest png": ([declared_png(2**32 - 1, 2**32 - 1)] * 8, "1 to 33554432"),
    "no width": ([declared_png(0, 5)] * 8, "[5 0]"),
    "jpeg bomb": ([declared_jpeg(60_000, 50_000)] * 8, "[50000 60000]"),
    "two sizes": (
        [jpeg(F[0, 0])] * 3 + [png(F[0, 0, 1:])] + [jpeg(F[0, 0])] * 4,
        "[0 3] [its height and width:] [28 43]",
    ),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_bad_picture_is_refused_with_its_reason(session, case):
    pictures, reason = BAD_PICTURES[case]
    with pytest.raises(InvalidArgumentError) as caught:
        session.run("segment_jpeg", frames=[pictures], query=[b"a"])
    assert reason in str(caught.value)
    with pytest.raises(InvalidArgumentError) as caught:
        session.run("segment_many_jpeg", frames=pictures, queries=[b"a"])
    assert reason in str(caught.value)


def test_many_large_pictures_are_refused_before_they_are_decoded(session):
    pictures = [[declared_png(5000, 5000)] * 8] * 2
    with pytest.raises(InvalidArgumentError, match=r"in all.*\[400000000\]"):
        session.run("segment_jpeg", frames=pictures, query=[b"a", b"b"])


def test_grey_alpha_deep_and_jpeg_pictures(session, python_model):
    frame = clips(1)[0, 0]
    grey = frame[..., 1]
    alpha = np.concatenate([frame, frame[..., :1]], axis=-1)
    lossy = jpeg(frame)
    kinds = {
        png(grey): np.stack([grey] * 3, -1),
        png(alpha): frame,
        png(frame.astype(np.uint16) * 257): frame,
        lossy: tf.io.decode_jpeg(lossy, channels=3).numpy(),
    }
    for data, image in kinds.items():
        _, scores = python_model(np.stack([image] * 8)[None], QUERIES[:1])
        found = session.run(
            "segment_jpeg", frames=[[data] * 8], query=encoded(QUERIES[:1])
        )
        np.testing.assert_allclose(found["score"], scores, atol=1e-5)


def test_clips_of_one_request_may_differ_in_size(session, python_model):
    sizes = [(29, 43), (60, 20)]
    pairs = [clips(1, *size) for size in sizes]
    files = [[png(frame) for frame in clip[0]] for clip in pairs]
    found = session.run("segment_jpeg", frames=files, query=[b"a", b"dog"])
    drawn = [
        cv2.imdecode(np.frombuffer(data, np.uint8), -1)
        for data in found["mask_png_bytes"]
    ]
    assert [mask.shape for mask in drawn] == sizes
    for clip, query, mask in zip(pairs, ["a", "dog"], drawn, strict=True):
        alone, _ = python_model(clip, [query])
        np.testing.assert_allclose(mask, 255 * alone[0], atol=0.53)


def test_bounds_are_what_the_page_says(repository):
    page = (repository / "docs" / "serving_contract.md").read_text()
    for value in (
        images.MAX_IMAGE_PIXELS,
        images.MAX_REQUEST_PIXELS,
        checks.MAX_ROWS,
    ):
        assert f"{value:,}" in page


def test_assets_and_card(output, run):
    version = output / "1"
    words = (run / "vocabulary.txt").read_text()
    assert (version / "assets" / "vocabulary.txt").read_text() == words
    card = json.loads((version / "assets.extra/model_card.json").read_text())
    assert card["name"] == "cstm"
    assert card["data"] == {
        "dataset": "fabricated",
        "splits": {"train": {"videos": 3, "samples": 7}},
    }
    assert card["metrics"]["checkpoint"] == {"mean_iou": 0.25}
    assert card["licence"]["weights"] == "as the test likes"
    assert (card["score"]["slope"], card["score"]["offset"]) == (0.5, -0.25)
    assert card["mask"]["threshold"] == 0.3
    assert list(card["outputs"]) == SIGNATURES
    assert set(card["inputs"]) > set(SIGNATURES)
    # of the run's metrics.json, without what says nothing of the model
    assert card["metrics"]["evaluation"] == METRICS
    page = (version / "assets.extra/model_card.md").read_text()
    assert page == model_card.markdown(card)
    everything = b"".join(
        path.read_bytes() for path in version.rglob("*") if path.is_file()
    )
    assert str(run.parent).encode() not in everything
    assert str(output).encode() not in everything


def rendered(page):
    """What a reader sees: pairs of tag and text, in order."""
    found, kind, level = [], "", 0
    for token in markdown_it.MarkdownIt("commonmark").parse(page):
        if token.type == "inline":
            assert {x.type for x in token.children} <= {"text", "softbreak"}
            text = "".join(x.content for x in token.children)
            found.append((f"{kind}{level}", text))
        elif token.type.endswith("_open"):
            kind, level = token.tag, token.level
    return found


def test_the_card_renders(output):
    extra = output / "1/assets.extra"
    card = json.loads((extra / "model_card.json").read_text())
    card["name"] = "c_st_m*<b>"
    card["data"] = {"parts": [{"dataset": "a", "splits": {}}, {"n": [1, "|"]}]}
    found = rendered(model_card.markdown(card))
    assert found[0] == ("h10", "c_st_m*<b>")
    # what is plain stands before the first part
    headings = [i for i, (kind, _) in enumerate(found) if kind[:2] == "h2"]
    plain = [text for _, text in found[2 : headings[0]]]
    assert "checkpoint: best" in plain
    assert len(plain) == sum(
        not isinstance(x, (dict, list)) for x in card.values()
    ) - 2  # fmt: skip
    titles = [found[i][1] for i in headings]
    assert titles == [
        "Versions", "Model", "Licence", "Data", "Metrics", "Inputs", "Limits",
        "Outputs", "Mask", "Score",
    ]  # fmt: skip
    texts = [text for _, text in found]
    for line in (
        "weights: as the test likes",
        "mean iou: 0.625",
        "0.5: 0.75",
        "dataset: a",
        "n: 1, |",
        "threshold: 0.3",
        f"definition: {card['score']['definition']}",
        "frames: uint8 [B, 8, H, W, 3], RGB",
    ):
        assert line in texts
    # as deep in lists as in the card
    depths = {text: int(kind[1:]) for kind, text in found}
    assert depths["mean iou: 0.625"] > depths["evaluation:"]
    assert depths["0.5: 0.75"] > depths["mean iou: 0.625"]


def test_the_card_of_a_preset_tells_what_the_preset_tells(output):
    preset = presets.PRESETS["moving_actors"]
    model, vocabulary = small_model(), Vocabulary(["dog"])
    card = model_card.card(
        model, vocabulary,
        {"model": {}, "data_manifest": {}}, CALIBRATION,
        name="m", run="r", which="best", height=32, width=64,
        precision="float32", frame_size=None, batch_size=None, best=None,
        preset=preset,
    )  # fmt: skip
    assert card["preset"]["metrics"] == preset.metrics
    assert card["licence"]["weights"] == preset.licence


def test_the_metrics_of_another_checkpoint_are_not_shown(
    run, small, tmp_path, monkeypatch
):
    variant = tiny_graph(monkeypatch)
    path = saved_model.saved_model(run, tmp_path, variant, which="last")
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert card["metrics"]["evaluation"] is None


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def parts(message):
    """Fields of a message that holds length-delimited fields alone."""
    at, found = 0, []
    while at < len(message):
        tag, at = varint(message, at)
        assert tag & 7 == 2
        size, at = varint(message, at)
        found.append((tag >> 3, message[at : at + size]))
        at += size
    assert at == len(message)
    return found


def test_warm_up_requests_run(output, session):
    path = output / "1/assets.extra" / warmup.FILE
    signatures = []
    for record in tf.data.TFRecordDataset(str(path)):
        [(log_type, log)] = parts(record.numpy())
        [(kind, request)] = parts(log)
        assert (log_type, kind) == (6, 1)
        (first, spec), *entries = parts(request)
        assert first == 1
        spec = dict(parts(spec))
        assert spec[1] == b"cstm"
        inputs = {}
        for number, entry in entries:
            assert number == 2
            entry = dict(parts(entry))
            tensor = tensor_pb2.TensorProto.FromString(entry[2])
            inputs[entry[1].decode()] = tf.make_ndarray(tensor)
        outputs = session.run(spec[3].decode(), **inputs)
        assert all(
            np.isfinite(s).all() for k, s in outputs.items() if "score" in k
        )
        signatures.append(spec[3].decode())
    assert signatures == SIGNATURES
    assert path.stat().st_size < 20_000


def test_warm_up_requests_are_those_of_tensorflow_serving(output):
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = output / "1/assets.extra" / warmup.FILE
    found = {}
    for record in tf.data.TFRecordDataset(str(path)):
        log = apis.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "cstm"
        found[request.model_spec.signature_name] = {
            name: tuple(d.size for d in tensor.tensor_shape.dim)
            for name, tensor in request.inputs.items()
        }
    assert found == {
        "serving_default": {"frames": (1, 8, 32, 64, 3), "query": (1,)},
        "segment_jpeg": {"frames": (1, 8), "query": (1,)},
        "segment_many": {"frames": (8, 32, 64, 3), "queries": (2,)},
        "segment_many_jpeg": {"frames": (8,), "queries": (2,)},
        "describe": {"queries": (2,)},
    }


def tiny_graph(monkeypatch):
    """Makes an export a matter of milliseconds: the graph of one constant."""

    class Small(tf.Module):
        def __init__(self, *arguments, **keywords):
            super().__init__()
            self.weight = tf.Variable(tf.ones(100_000))
            self.serve = tf.function(
                lambda x: {"y": x}, input_signature=[tf.TensorSpec([])]
            )

        @property
        def signatures(self):
            return {"serving_default": self.serve}

    monkeypatch.setattr(saved_model, "ServedModel", Small)
    return saved_model.Variant(HEIGHT, WIDTH)


def test_versions_count_up_and_leave_others_alone(
    run, small, tmp_path, monkeypatch
):
    variant = tiny_graph(monkeypatch)
    output = tmp_path / "cstm"
    output.mkdir()
    (output / "7").mkdir()
    (output / "notes").write_text("mine")
    (output / ".unfinished-thesis").mkdir()
    (output / ".keras_vas-unfinished").mkdir()
    (output / ".keras_vas-unfinished" / "saved_model.pb").write_text("half")
    assert saved_model.saved_model(run, output, variant).name == "8"
    assert saved_model.saved_model(run, output, variant).name == "9"
    assert sorted(p.name for p in output.iterdir()) == [
        ".unfinished-thesis", "7", "8", "9", "notes",
    ]  # fmt: skip
    assert not list((output / "7").iterdir())


def test_a_second_export_at_the_same_time_is_told_to_wait(
    run, small, tmp_path, monkeypatch
):
    variant = tiny_graph(monkeypatch)

    def write(folder):
        with pytest.raises(UserError, match="another process is writing"):
            saved_model.saved_model(run, tmp_path, variant)

    saved_model.write_version(tmp_path, write)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_full_disk_leaves_nothing(run, small, tmp_path, monkeypatch):
    variant = tiny_graph(monkeypatch)
    large = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*cstm.*nothing"):
            saved_model.saved_model(run, tmp_path / "cstm", variant)
        monkeypatch.setattr(saved_model, "load", lambda *_: (large, None, {}))
        with pytest.raises(UserError, match=r"cannot write .*m\.keras"):
            saved_model.keras_file(run, tmp_path / "m.keras")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "cstm").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["cstm"]


KILLED = """
import pathlib, sys, time
from keras_vas.export import saved_model
def write(folder):
    (folder / "saved_model.pb").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
saved_model.write_version(pathlib.Path(sys.argv[1]), write)
"""


def test_a_killed_export_leaves_no_version(
    run, small, tmp_path, monkeypatch, repository
):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".keras_vas-lock", ".keras_vas-unfinished"]
    variant = tiny_graph(monkeypatch)
    saved_model.saved_model(run, tmp_path, variant)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_keras_file_holds_what_is_needed_to_use_it(run, small, tmp_path):
    path = saved_model.keras_file(run, tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        assert {"config.json", "model.weights.h5"} < set(archive.namelist())
        read = {
            name: archive.read(f"keras_vas/{name}")
            for name in ("vocabulary.txt", "config.json", "presence.json")
        }
    assert read["vocabulary.txt"] == (run / "vocabulary.txt").read_bytes()
    assert json.loads(read["config.json"]) == run_directory.read_config(run)
    text = read["presence.json"].decode()
    assert presence_score.Calibration.from_json(text) == CALIBRATION
    with pytest.raises(UserError, match="exists; remove it"):
        saved_model.keras_file(run, path)


def test_bfloat16_weights_are_stored_so_and_masks_stay_near(
    run, small, tmp_path, python_model, output
):
    path = saved_model.saved_model(
        run, tmp_path / "m", saved_model.Variant(HEIGHT, WIDTH, "bfloat16")
    )

    def types(version):
        path = str(version / "variables" / "variables")
        found = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
        return {dtype for dtype in found.values() if dtype.is_floating}

    assert types(output / "1") == {tf.float32}
    assert types(path) == {tf.bfloat16}
    frames = clips(2)
    masks, _ = python_model(frames, QUERIES[:2])
    found = saved_model_c_api.Session(path).run(
        "serving_default", frames=frames, query=encoded(QUERIES[:2])
    )
    assert found["mask"].dtype == np.float32
    np.testing.assert_allclose(found["mask"], masks, atol=0.05)


def test_fixed_shape_and_batch_are_declared_and_demanded(
    run, small, tmp_path, python_model
):
    variant = saved_model.Variant(
        HEIGHT, WIDTH, fixed_shape="29x43", batch_size=2
    )
    path = saved_model.saved_model(run, tmp_path / "m", variant)
    session = saved_model_c_api.Session(path)
    declared = session.meta_graph.signature_def["serving_default"]
    shape = declared.inputs["frames"].tensor_shape.dim
    assert [d.size for d in shape] == [2, 8, 29, 43, 3]
    shape = declared.outputs["mask"].tensor_shape.dim
    assert [d.size for d in shape] == [2, 29, 43]
    frames = clips(2)
    masks, _ = python_model(frames, QUERIES[:2])
    found = session.run(
        "serving_default", frames=frames, query=encoded(QUERIES[:2])
    )
    np.testing.assert_allclose(found["mask"], masks, atol=1e-4)
    for wrong in (frames[:1], frames[:, :, 1:], frames[:, 1:]):
        with pytest.raises(InvalidArgumentError, match="frames"):
            session.run("serving_default", frames=wrong, query=[b"a"] * 2)


def fabricated(video_id, split):
    rng = np.random.default_rng(int(video_id))
    image = rng.integers(0, 255, (20, 30, 3), np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:10] = True
    frame = schema.AnnotatedFrame(
        dataset="fabricated",
        video_id=video_id,
        subset=split,
        frame_number=9,
        clip=[image] * 8,
        clip_frame_numbers=list(range(1, 9)),
        height=20,
        width=30,
        actors=(schema.Actor("1", mask),),
        queries=(schema.Query(f"dog {video_id}", 0),),
    )
    return shard_files.Conversion([frame])


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    small_records.write(
        folder, fabricated, {"train": [str(i) for i in range(6)]}
    )
    return folder


PROGRAM = """
import json, sys
from absl import flags
from keras_vas.programs import export
from keras_vas.errors import UserError
messages = []
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    for name in ("data", "precision", "format", "fixed_shape", "height"):
        flags.FLAGS[name].unparse()
    flags.FLAGS(["export.py", *arguments])
    try:
        export.main(["export.py"])
        messages.append("")
    except UserError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""


def test_bad_input_is_one_line_and_leaves_nothing(
    run, records, tmp_path, repository
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "old.keras").write_text("mine")
    for name in ("wordless", "longer"):
        subprocess.run(["cp", "-r", run, tmp_path / name], check=True)
    (tmp_path / "wordless" / "vocabulary.txt").unlink()
    with open(tmp_path / "longer" / "vocabulary.txt", "a") as file:
        file.write("zebra\n")
    out = tmp_path / "out"
    common = {"workdir": run, "output": out / "cstm"}
    cases = [
        ("is no run of train.py", {"workdir": tmp_path}),
        ("is no run of train.py", {"workdir": tmp_path / "file"}),
        ("vocabulary.txt", {"workdir": tmp_path / "wordless"}),
        ("5 words", {"workdir": tmp_path / "longer"}),
        ("is a file", {"output": tmp_path / "file"}),
        ("is a file", {"output": tmp_path / "file" / "cstm"}),
        ("height=100", {"height": 100}),
        ("240x320", {"fixed_shape": "big"}),
        ("at least one pixel", {"fixed_shape": "0x5"}),
        ("there is no folder", {"data": "/nowhere"}),
        ("must end in .keras", {"format": "keras"}),
        ("exists", {"format": "keras", "output": tmp_path / "old.keras"}),
        (
            "--precision is for",
            {
                "format": "keras",
                "output": out / "m.keras",
                "precision": "bfloat16",
            },
        ),
    ]
    arguments = [
        [f"--{k}={v}" for k, v in {**common, **case}.items()]
        for _, case in cases
    ]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    assert finished.returncode == 0, finished.stderr
    messages = json.loads(finished.stdout.splitlines()[-1])
    for message, (words, _) in zip(messages, cases, strict=True):
        assert words in message
        assert "\n" not in message
    assert not out.exists()
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "old.keras").read_text() == "mine"


def test_the_program_exports_a_cstm_for_any_cpu(run, tmp_path, repository):
    output = tmp_path / "cstm"
    finished = run_program(repository, workdir=run, output=output)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-2:] == [
        f"written to {output / '1'}",
        f"next: python -m keras_vas.serving_server --model={output}",
    ]
    session = saved_model_c_api.Session(output / "1")
    graph = session.meta_graph.graph_def
    functions = graph.library.function
    nodes = [*graph.node, *(n for f in functions for n in f.node_def)]
    assert {n.op for n in nodes} > {"Conv2D", "Conv3D", "LookupTableFindV2"}
    assert not [n.op for n in nodes if "udnn" in n.op]
    assert not [n.name for n in nodes if "GPU" in n.device.upper()]
    frames = clips(1)
    model, vocabulary, _ = run_directory.load_run(run)
    masks, scores = predictor(model, vocabulary)(
        np.repeat(frames, 2, axis=0), QUERIES[:2]
    )
    queries = encoded(QUERIES[:2])
    found = session.run("segment_many", frames=frames[0], queries=queries)
    np.testing.assert_allclose(found["masks"], masks, atol=1e-4)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4)
    found = session.run("serving_default", frames=frames, query=queries[:1])
    np.testing.assert_allclose(found["mask"], masks[:1], atol=1e-4)


def test_the_program_calibrates(run, records, tmp_path, repository):
    copied = tmp_path / "run"
    subprocess.run(["cp", "-r", run, copied], check=True)
    (copied / "presence.json").unlink()
    path = tmp_path / "m.npz"
    finished = run_program(
        repository, workdir=copied, output=path, format="preset", data=records
    )
    assert finished.returncode == 0, finished.stderr
    assert "AUC" in finished.stdout
    assert f"written to {path}" in finished.stdout
    calibration = presence_score.Calibration.load(copied)
    assert calibration.source.startswith("fabricated, training videos")
    assert calibration.metrics["queries"] == 6
    assert calibration.metrics["present"] == 3
    model, vocabulary, _ = run_directory.load_run(run)
    loaded, words, _, kept = preset_file.load(path)
    assert kept == calibration
    assert words == list(vocabulary.words)
    frames = clips(1)
    np.testing.assert_allclose(
        predictor(loaded, vocabulary)(frames, QUERIES[:1])[0],
        predictor(model, vocabulary)(frames, QUERIES[:1])[0],
        atol=1e-2,
    )


def run_program(repository, **flags):
    return subprocess.run(
        [
            sys.executable,
            "export.py",
            *(f"--{name}={value}" for name, value in flags.items()),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )


def test_a_cstm_in_bfloat16_stays_near(run):
    model, vocabulary, _ = LOAD(run, precision="bfloat16")
    assert {v.dtype for v in model.weights} == {"bfloat16"}
    assert keras.config.dtype_policy().name == "float32"
    plain, _, _ = LOAD(run)
    frames = clips(2)
    masks, _ = predictor(plain, vocabulary)(frames, QUERIES[:2])
    found, _ = predictor(model, vocabulary)(frames, QUERIES[:2])
    np.testing.assert_allclose(found, masks, atol=0.02)


def test_a_changed_export_is_not_loaded(output, tmp_path):
    exported = output / "1"
    whole = json.loads((exported / "assets.extra/manifest.json").read_text())
    names = {
        str(path.relative_to(exported))
        for path in exported.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert set(whole) == names
    assert len(names) > 5
    for name in sorted(names):
        copy = tmp_path / "copy"
        shutil.copytree(exported, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(UserError, match=r"edited or is damaged.*; export"):
            SavedModelSegmenter(copy)
        shutil.rmtree(copy)
