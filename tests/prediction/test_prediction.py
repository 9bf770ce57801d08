"""keras_vas.load and what it gives, against the model called plainly."""

import shutil
import zipfile

import cv2
import numpy as np
import pytest
import small_run
import tensorflow as tf

import keras_vas
from keras_vas.data import transforms
from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.presence import score as presence_score
from keras_vas.video.reader import open_video

QUERIES = ["the bright square", "a dark square on the left"]
COUNT, HEIGHT, WIDTH = 19, 45, 70


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run.make(
        tmp_path_factory.mktemp("run"), encoders="both", cmam_stages=(3, 5)
    )


@pytest.fixture(scope="module")
def predictor(run):
    return keras_vas.load(run)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def plain(predictor, frames):
    """Probabilities and scores of the model, called once a frame and query."""
    probabilities = np.zeros((COUNT, 2, HEIGHT, WIDTH), np.float32)
    scores = np.zeros((COUNT, 2), np.float32)
    model = tf.function(predictor.model, reduce_retracing=True)
    for number in range(1, COUNT + 1):
        numbers = np.array(schema.clip_frame_numbers(number, COUNT))
        clip = transforms.letterbox(frames[numbers - 1], 32, 64)[None]
        for i, query in enumerate(QUERIES):
            tokens = predictor.vocabulary.encode([query])
            logits = model({"frames": clip, "tokens": tokens}, training=False)[
                "mask_logits"
            ]
            probabilities[number - 1, i] = transforms.unletterbox(
                tf.sigmoid(logits), HEIGHT, WIDTH
            )[0, ..., 0]
            evidence = presence_score.evidence(logits)
            scores[number - 1, i] = presence_score.Calibration().score(
                evidence
            )[0]
    return probabilities, scores


@pytest.fixture(scope="module")
def whole(predictor, frames):
    return predictor.segment(
        frames, QUERIES, batch_size=4, keep_probabilities=True
    )


def test_segment_equals_the_model_called_plainly(whole, plain):
    probabilities, scores = plain
    assert 0.05 < (probabilities > 0.5).mean() < 0.95
    assert np.abs(probabilities[:, 0] - probabilities[:, 1]).max() > 1e-3
    assert (whole.probabilities.dtype, whole.scores.dtype) == (np.float32,) * 2
    np.testing.assert_allclose(whole.probabilities, probabilities, atol=2e-5)
    np.testing.assert_allclose(whole.scores, scores, atol=2e-5)
    np.testing.assert_array_equal(whole.masks, whole.probabilities > 0.5)
    assert whole.numbers == list(range(1, COUNT + 1))
    np.testing.assert_allclose(whole.times, np.arange(COUNT) / 25)


def test_every_and_times_choose_frames(predictor, frames, whole):
    fourth = predictor.segment(frames, QUERIES, every=4, batch_size=4)
    assert fourth.numbers == [1, 5, 9, 13, 17]
    differ = fourth.masks != whole.masks[::4]
    assert differ.mean() < 1e-4  # a batch of other size rounds otherwise
    timed = predictor.segment(frames, QUERIES, times=[0.3, 0.12])
    assert timed.numbers == [4, 8]
    assert (timed.masks != whole.masks[[3, 7]]).mean() < 1e-4


def test_compute_every_interpolates(predictor, frames, plain):
    found = predictor.segment(
        frames,
        QUERIES,
        compute_every=4,
        batch_size=2,
        keep_probabilities=True,
    )
    probabilities, scores = plain
    known = [0, 4, 8, 12, 16, 18]
    assert len(found) == COUNT
    for values, truth in (
        (found.probabilities, probabilities),
        (found.scores, scores),
    ):
        flat = truth.reshape(COUNT, -1)
        expected = np.stack(
            [
                np.interp(range(COUNT), known, flat[known, i])
                for i in range(flat.shape[1])
            ],
            axis=1,
        )
        np.testing.assert_allclose(
            values.reshape(COUNT, -1), expected, atol=3e-5
        )


def test_smoothing_is_an_exponential_mean(predictor, frames, plain):
    found = predictor.segment(
        frames[:9], QUERIES, smoothing=0.75, keep_probabilities=True, every=3
    )
    clipped = predictor.segment(
        frames[:9], QUERIES, keep_probabilities=True, every=3
    ).probabilities
    expected = clipped[0]
    for i in range(3):
        expected = 0.75 * expected + 0.25 * clipped[i]
        np.testing.assert_allclose(found.probabilities[i], expected, atol=3e-5)


def test_stream_gives_frames_one_by_one(predictor, frames, plain):
    stream = predictor.stream(frames, QUERIES[0], batch_size=2)
    first = next(stream)
    assert (first.number, first.time_seconds) == (1, 0)
    np.testing.assert_array_equal(first.frame, frames[0])
    np.testing.assert_allclose(first.probabilities, plain[0][0, :1], atol=2e-5)
    assert first.scores.shape == (1,)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (33, 31)])
def test_one_frame_of_any_size_works(predictor, size):
    result = predictor.segment(np.zeros((1, *size), np.uint8), QUERIES)
    assert result.masks.shape == (1, 2, *size)


def test_4k_frames_and_many_sentences(predictor):
    frame = np.zeros((1, 2160, 3840, 3), np.uint8)
    result = predictor.segment(frame, QUERIES)
    assert result.masks.shape == (1, 2, 2160, 3840)
    with pytest.raises(UserError, match=r"10,000 sentences .* at most 64"):
        predictor.segment(frame, ["a"] * 10_000)


def test_what_cannot_be_asked_is_a_user_error(predictor, frames):
    for arguments, words in (
        ({"queries": []}, "no sentence"),
        ({"queries": ["a", " "]}, "hold words"),
        ({"every": 0}, "every=0"),
        ({"compute_every": 0}, "compute_every=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"smoothing": 1.0}, "smoothing=1"),
        ({"times": []}, "no time"),
    ):
        arguments = {"queries": QUERIES, **arguments}
        with pytest.raises(UserError, match=words):
            predictor.segment(frames, **arguments)


def test_overlay_and_save_show_the_masks(whole, frames, tmp_path):
    drawn = whole.overlay([2, 5])
    assert drawn.shape == (2, HEIGHT, WIDTH, 3)
    free = ~whole.masks[5].any(0)
    kernel = np.ones((7, 7), np.uint8)  # away from outlines
    free = cv2.erode(free.astype(np.uint8), kernel, borderValue=1) > 0
    assert free.sum() > 20
    grey = frames[5] @ [0.299, 0.587, 0.114]
    dimmed = 0.25 * frames[5] + 0.25 * grey[..., None]
    np.testing.assert_allclose(drawn[1][free], dimmed[free], atol=1.5)
    tinted = cv2.erode(whole.mask(5).any(0).astype(np.uint8), kernel) > 0
    assert (drawn[1][tinted] != frames[5][tinted]).any(-1).mean() > 0.95
    whole.save(tmp_path / "out")
    overlay = list(open_video(tmp_path / "out" / "overlay.mp4"))
    assert len(overlay) == COUNT
    folders = sorted((tmp_path / "out" / "masks").iterdir())
    png = cv2.imread(str(folders[1] / "00006.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(png > 0, whole.mask(5)[1])


def test_attention_is_that_of_the_words(predictor, frames):
    maps = predictor.attention(frames, "a dark square!", number=9)
    assert predictor.words("a dark square!") == ["a", "dark", "square", "!"]
    assert set(maps) == {
        (encoder, stage)
        for encoder in ("spatial", "temporal")
        for stage in (3, 5)
    }
    for attended in maps.values():
        assert attended.shape == (4, 32, 50)
        assert attended.std() > 0
    # the map of stage 5 has one cell high, two wide: equation 3 by hand
    model = predictor.model
    numbers = np.array(schema.clip_frame_numbers(9, COUNT))
    clip = transforms.letterbox(frames[numbers - 1], 32, 64)[None]
    tokens = predictor.vocabulary.encode(["a dark square!"])
    cmam = model.get_layer("spatial_cmam_5")
    node = cmam._inbound_nodes[0]
    import keras

    part = keras.Model(model.input, list(node.input_tensors[:2]))
    visual, words = (
        x.numpy()[0] for x in part({"frames": clip, "tokens": tokens})
    )
    columns = np.arange(2)
    where = np.stack(
        [columns - 1.0, -1 + 0 * columns, columns, 1 + 0 * columns,
         columns - 0.5, 0 * columns, 0.5 + 0 * columns, 1 + 0 * columns],
        axis=-1,
    )  # fmt: skip
    keys = np.concatenate([visual[0], where], -1) @ cmam.key.kernel.numpy()
    keys += cmam.key.bias.numpy()
    queries = words @ cmam.query.kernel.numpy() + cmam.query.bias.numpy()
    expected = (queries @ keys.T)[:4]
    found = maps["spatial", 5]
    np.testing.assert_allclose(found[:, 16, 0], expected[:, 0], rtol=1e-3)
    np.testing.assert_allclose(found[:, 16, -1], expected[:, 1], rtol=1e-3)
    with pytest.raises(UserError, match="frames are 1 to 19"):
        predictor.attention(frames, "a", number=20)


def test_a_keras_file_gives_the_same(predictor, run, frames, tmp_path):
    path = tmp_path / "model.keras"
    predictor.model.save(path)
    with pytest.raises(UserError, match=r"no whole \.keras file"):
        keras_vas.load(path)
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("vocabulary.txt", "config.json"):
            archive.write(run / name, f"keras_vas/{name}")
        calibration = '{"slope": 2.0, "offset": -1.0, "source": "a test"}'
        archive.writestr("keras_vas/presence.json", calibration)
    found = keras_vas.load(path).segment(frames[:3], QUERIES)
    expected = predictor.segment(frames[:3], QUERIES)
    np.testing.assert_array_equal(found.masks, expected.masks)
    logit = np.log(expected.scores / (1 - expected.scores))
    np.testing.assert_allclose(
        found.scores, 1 / (1 + np.exp(1 - 2 * logit)), rtol=1e-4
    )


class _Exported(tf.Module):
    """A SavedModel with the signature `segment_many`, and known answers."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8, name="frames"),
            tf.TensorSpec([None], tf.string, name="queries"),
        ]
    )
    def segment_many(self, frames, queries):
        target = tf.reduce_mean(tf.cast(frames[4], tf.float32), -1) / 255
        lengths = tf.cast(tf.strings.length(queries), tf.float32)
        return {
            "masks": target[None] / lengths[:, None, None],
            "scores": 1 / lengths,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, None, 3], tf.uint8, name="frames"),
            tf.TensorSpec([None], tf.string, name="query"),
        ]
    )
    def serve(self, frames, query):
        answer = self.segment_many(frames[0], query)
        return {"mask": answer["masks"], "score": answer["scores"]}


@pytest.mark.parametrize("signature", ["segment_many", "serving_default"])
def test_a_saved_model_is_asked_by_its_signature(signature, frames, tmp_path):
    module = _Exported()
    function = {
        "segment_many": module.segment_many,
        "serving_default": module.serve,
    }[signature]
    for version in ("9", "10"):
        tf.saved_model.save(
            module, str(tmp_path / version), signatures={signature: function}
        )
    predictor = keras_vas.load(tmp_path)
    assert predictor.about.name == tmp_path.name
    assert predictor.unknown_words("ab") == predictor.warnings(["ab"]) == []
    found = predictor.segment(frames, ["ab", "abcd"], keep_probabilities=True)
    grey = frames.astype(np.float32).mean(-1) / 255
    expected = np.stack([grey / 2, grey / 4], axis=1)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(found.scores, [[0.5, 0.25]] * COUNT)
    with pytest.raises(UserError, match="no attention maps"):
        predictor.attention(frames, "a")


def test_what_is_no_model_is_a_user_error(run, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty").mkdir()
    module = tf.Module()
    module.double = tf.function(
        lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)]
    )
    tf.saved_model.save(
        module, str(tmp_path / "other"), signatures={"double": module.double}
    )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\x07broken")
    shutil.copytree(run, tmp_path / "half")
    (tmp_path / "half" / "vocabulary.txt").unlink()
    for name, words in {
        "missing": "does not exist",
        "empty": "holds no model",
        "text.keras": r"no whole \.keras file",
        "other": "something else.*its signatures: double",
        "broken": "no SavedModel that can be read",
        "half": "no whole run",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            keras_vas.load(tmp_path / name)
        assert "\n" not in str(caught.value)
