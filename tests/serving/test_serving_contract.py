"""What a client relies on, at the local server and the real one.

The local server serves a computable model, and what export.py writes around a
small network. The real one is tested where TF_SERVING_URL names its REST port;
it has to serve a model that export.py wrote, under the name in
TF_SERVING_MODEL ("cstm" unless it is set). serving/README.md has the command.
"""

import base64
import os
import zlib

import cv2
import keras
import numpy as np
import pytest
import serving_model
import serving_requests as requests
import tensorflow as tf
from local_server import serve
from serving_requests import ask

from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.export import graph
from keras_vas.presence import score as presence_score
from keras_vas.serving.client.client import ServingClient, ServingError


def export_network(folder):
    """Exports a network of two layers as export.py exports a CSTM."""
    frames = keras.Input((8, 32, 64, 3), name="frames")
    tokens = keras.Input((20,), dtype="int32", name="tokens")
    words = keras.layers.Embedding(10, 1, name="words")(tokens)
    grey = keras.ops.mean(frames[:, 4] / 255, axis=-1, keepdims=True)
    sentence = keras.ops.mean(words, axis=1)[:, None, None]
    network = keras.Model(
        {"frames": frames, "tokens": tokens},
        {"mask_logits": 4 * grey - 2 + 20 * sentence},
    )
    vocabulary = Vocabulary(["a", "dog", "woman"])
    path = folder.parent / "vocabulary.txt"
    vocabulary.save(path)
    served = graph.ServedModel(
        network,
        vocabulary,
        presence_score.Calibration(),
        vocabulary_path=path,
        height=32,
        width=64,
        about="a test",
    )
    tf.saved_model.save(served, str(folder), signatures=served.signatures)


@pytest.fixture(scope="module", params=["computable", "export", "real"])
def served(request, tmp_path_factory):
    """Address of a server and name of its model."""
    if request.param == "real":
        if "TF_SERVING_URL" not in os.environ:
            pytest.skip("TF_SERVING_URL is not set")
        model = os.environ.get("TF_SERVING_MODEL", "cstm")
        yield os.environ["TF_SERVING_URL"], model
    else:
        folder = tmp_path_factory.mktemp("contract") / "cstm"
        export = serving_model.export
        (export_network if request.param == "export" else export)(folder / "1")
        with serve(folder) as url:
            yield url, "cstm"


@pytest.fixture(scope="module")
def client(served):
    return ServingClient(*served, timeout=requests.SECONDS)


@pytest.mark.parametrize("name", requests.REFUSED_BODIES)
def test_a_body_is_refused_with_a_reason(served, name):
    url, model = served
    status, answer = ask(
        url,
        "POST",
        f"/v1/models/{model}:predict",
        requests.REFUSED_BODIES[name],
    )
    assert status == 400
    assert answer.keys() == {"error"}
    assert answer["error"]


@pytest.mark.parametrize("name", requests.MISSING)
def test_what_is_not_there_is_404_with_a_reason(served, name):
    url, model = served
    method, path = requests.MISSING[name]
    body = requests.jpeg_request(requests.row()) if method == "POST" else None
    status, answer = ask(url, method, path.format(model=model), body)
    assert status == 404
    assert answer["error"]


def test_a_version_is_available_and_answers_by_its_number(served, client):
    states = client.status()
    version = max(states)
    assert states[version] == "AVAILABLE"
    url, model = served
    body = requests.jpeg_request(requests.row())
    latest = ask(url, "POST", f"/v1/models/{model}:predict", body)
    path = f"/v1/models/{model}/versions/{version}"
    assert latest[0] == 200
    assert ask(url, "POST", f"{path}:predict", body) == latest
    state = ask(url, "GET", path)[1]["model_version_status"]
    assert [(x["version"], x["state"]) for x in state] == [
        (str(version), "AVAILABLE")
    ]
    spec = ask(url, "GET", f"{path}/metadata")[1]["model_spec"]
    assert (spec["name"], spec["version"]) == (model, str(version))


def test_the_metadata_names_the_signatures(client):
    types = {
        "serving_default": {
            "frames": ("DT_UINT8", 5),
            "query": ("DT_STRING", 1),
            "mask": ("DT_FLOAT", 3),
            "score": ("DT_FLOAT", 1),
        },
        "segment_jpeg": {
            "frames": ("DT_STRING", 2),
            "query": ("DT_STRING", 1),
            "mask_png_bytes": ("DT_STRING", 1),
            "score": ("DT_FLOAT", 1),
        },
        "segment_many": {
            "frames": ("DT_UINT8", 4),
            "queries": ("DT_STRING", 1),
            "masks": ("DT_FLOAT", 3),
            "scores": ("DT_FLOAT", 1),
        },
        "segment_many_jpeg": {
            "frames": ("DT_STRING", 1),
            "queries": ("DT_STRING", 1),
            "masks_png_bytes": ("DT_STRING", 1),
            "scores": ("DT_FLOAT", 1),
        },
        "describe": {
            "queries": ("DT_STRING", 1),
            "unknown_words": ("DT_STRING", 1),
            "threshold": ("DT_FLOAT", 1),
            "about": ("DT_STRING", 1),
        },
    }
    signatures = client.metadata()
    for name, expected in types.items():
        tensors = signatures[name]["inputs"] | signatures[name]["outputs"]
        found = {
            key: (dtype, len(shape)) for key, (dtype, shape) in tensors.items()
        }
        assert found == expected


def test_rows_and_columns_say_the_same(served):
    url, model = served
    clips = [requests.clip(seed) for seed in (1, 2)]
    queries = ["a dog", "the man in red"]
    rows = [
        {"frames": frames.tolist(), "query": query}
        for frames, query in zip(clips, queries, strict=True)
    ]
    columns = {"frames": np.stack(clips).tolist(), "query": queries}
    path = f"/v1/models/{model}:predict"
    _, by_rows = ask(url, "POST", path, {"instances": rows})
    _, by_columns = ask(url, "POST", path, {"inputs": columns})
    assert by_columns["outputs"].keys() == {"mask", "score"}
    assert np.shape(by_columns["outputs"]["mask"]) == (2, 12, 20)
    assert by_rows["predictions"] == [
        {"mask": mask, "score": score}
        for mask, score in zip(
            by_columns["outputs"]["mask"],
            by_columns["outputs"]["score"],
            strict=True,
        )
    ]


def test_pictures_go_in_and_come_back_as_base64(served):
    url, model = served
    pictures = [requests.b64(requests.png(x)) for x in requests.clip()]
    status, answer = ask(
        url,
        "POST",
        f"/v1/models/{model}:predict",
        requests.jpeg_request(requests.row(pictures)),
    )
    assert status == 200
    (prediction,) = answer["predictions"]
    assert prediction.keys() == {"mask_png_bytes", "score"}
    assert prediction["mask_png_bytes"].keys() == {"b64"}
    data = base64.b64decode(prediction["mask_png_bytes"]["b64"], validate=True)
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (mask.shape, mask.dtype) == ((12, 20), np.uint8)


@pytest.mark.parametrize(
    "signature", ["segment_jpeg", "segment_many", "segment_many_jpeg"]
)
def test_masks_are_probabilities_of_the_frames_size(client, signature):
    frames = requests.clip(height=45, width=62)
    masks, scores = client.segment(frames, ["a dog", "der Hund"], signature)
    assert masks.shape == (2, 45, 62)
    assert scores.shape == (2,)
    for values in (masks, scores):
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1


def test_the_signatures_agree_but_for_the_rounding(client):
    frames = requests.clip(height=40, width=50)
    pictures = [requests.png(frame) for frame in frames]
    queries = ["a dog", "the woman in red on the left"]
    many, many_scores = client.segment(frames, queries, "segment_many")
    for signature in ("segment_jpeg", "segment_many_jpeg"):
        jpeg, jpeg_scores = client.segment(pictures, queries, signature)
        np.testing.assert_allclose(jpeg, many, atol=0.5 / 255 + 1e-4)
        np.testing.assert_allclose(jpeg_scores, many_scores, atol=1e-4)


def test_strings_are_base64_where_their_name_says_so(served):
    url, model = served
    request = {
        "signature_name": "describe",
        "instances": [{"queries": "a dog"}, {"queries": "Wörterwurm"}],
    }
    status, answer = ask(url, "POST", f"/v1/models/{model}:predict", request)
    assert status == 200
    known, unknown = answer["predictions"]
    assert known.keys() == {"unknown_words", "threshold", "about"}
    assert unknown["unknown_words"].lower() == "wörterwurm"
    assert known["about"] == unknown["about"]
    assert 0 < known["threshold"] < 1


def test_the_client_is_told_what_is_not_known(client):
    found = client.describe(["a dog", "a zebroid dog"])
    assert found.unknown_words == ("zebroid",)
    assert 0 < found.threshold < 1
    assert found.about


def test_an_unknown_model_is_one_line_with_the_servers_reason(served):
    client = ServingClient(served[0], "nope", retries=0)
    with pytest.raises(ServingError) as error:
        client.status()
    assert error.value.status == 404
    assert error.value.reason
    assert error.value.reason in str(error.value)
    assert "\n" not in str(error.value)


def declared_large(kind):
    """A picture of a few bytes that says it has 65,000 x 65,000 pixels."""
    size = (65_000).to_bytes(2)
    if kind == "jpeg":
        data = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        start = data.index(b"\xff\xc0") + 5
        return data[:start] + size + size + data[start + 4 :]
    data = requests.png(np.zeros((8, 8, 3), np.uint8))
    header = b"IHDR" + 2 * (b"\0\0" + size) + data[24:29]
    return data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_that_would_fill_the_memory_is_refused(served, kind):
    url, model = served
    bomb = requests.b64(declared_large(kind))
    status, answer = ask(
        url,
        "POST",
        f"/v1/models/{model}:predict",
        requests.jpeg_request(requests.row([bomb] * 8)),
    )
    assert status == 400
    assert "assertion failed: [" in answer["error"]
    assert "pixels" in answer["error"]
