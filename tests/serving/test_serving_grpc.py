"""The gRPC client, at a server of the test and at the real one.

The real one is asked where TF_SERVING_GRPC names its gRPC port, HOST:PORT; it
has to serve a model that export.py wrote, under the name in TF_SERVING_MODEL
("cstm" unless it is set).
"""

import json
import os
import socket
import subprocess
import sys

import cv2
import grpc
import grpc_server
import local_server
import numpy as np
import pytest
import serving_model
import serving_requests as requests
from patience import SECONDS

from keras_vas.serving.client.client import ServingClient, ServingError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("grpc") / "red" / str(grpc_server.VERSION)
    serving_model.export(path)
    return path


@pytest.fixture(scope="module")
def served(exported):
    with grpc_server.serve(exported, "red") as (address, services):
        yield address, services


@pytest.fixture(scope="module")
def client(served):
    return ServingClient(grpc=served[0], model="red", timeout=SECONDS)


@pytest.fixture(scope="module", params=["test", "real"])
def either(request):
    if request.param == "test":
        return request.getfixturevalue("client")
    if "TF_SERVING_GRPC" not in os.environ:
        pytest.skip("TF_SERVING_GRPC is not set")
    model = os.environ.get("TF_SERVING_MODEL", "cstm")
    return ServingClient(grpc=os.environ["TF_SERVING_GRPC"], model=model)


def test_a_version_is_available_and_has_the_signatures(either):
    assert "AVAILABLE" in either.status().values()
    assert either.metadata().keys() >= {
        "serving_default",
        "segment_jpeg",
        "segment_many",
        "segment_many_jpeg",
        "describe",
    }


def test_the_signatures_agree_but_for_the_rounding(either):
    frames = requests.clip(height=40, width=50)
    pictures = [requests.png(frame) for frame in frames]
    queries = ["a dog", "the woman in red on the left"]
    many, many_scores = either.segment(frames, queries, "segment_many")
    assert many.shape == (2, 40, 50)
    for signature in ("segment_jpeg", "segment_many_jpeg", None):
        jpeg, jpeg_scores = either.segment(pictures, queries, signature)
        np.testing.assert_allclose(jpeg, many, atol=0.5 / 255 + 1e-4)
        np.testing.assert_allclose(jpeg_scores, many_scores, atol=1e-4)


def test_unknown_words_are_told(either):
    found = either.describe(["a dog", "a zebroid dog"])
    assert found.unknown_words == ("zebroid",)
    assert 0 < found.threshold < 1
    assert found.about


def test_it_says_what_rest_says(exported, client):
    frames = requests.clip(height=30, width=40)
    queries = ["a dog", "the man with a hat"]
    with local_server.serve(exported.parent) as url:
        rest = ServingClient(url, "red")
        assert client.status() == rest.status() == {3: "AVAILABLE"}
        known = rest.metadata()
        assert known == {
            k: x for k, x in client.metadata().items() if k in known
        }
        assert client.describe(queries) == rest.describe(queries)
        for signature in ("segment_many", "segment_many_jpeg", "segment_jpeg"):
            for found, expected in zip(
                client.segment(frames, queries, signature),
                rest.segment(frames, queries, signature),
                strict=True,
            ):
                np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_masks_are_the_computed_ones(client):
    frames = requests.clip(height=30, width=40)
    masks, scores = client.segment(frames, ["x" * 60], "segment_many")
    mask, score = serving_model.expected_mask(frames, "x" * 60)
    np.testing.assert_allclose(masks[0], mask, atol=1e-6)
    np.testing.assert_allclose(scores, [score], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "status"),
    [({"model": "nope"}, "NOT_FOUND"), ({"version": 9}, "NOT_FOUND")],
)
def test_what_is_not_there_is_one_line(served, options, status):
    client = ServingClient(grpc=served[0], **{"model": "red", **options})
    for call in (client.status, client.metadata):
        with pytest.raises(ServingError, match="Servable not found") as error:
            call()
        assert error.value.status == status
        assert "\n" not in str(error.value)


def test_a_refusal_is_one_line_with_the_reason_and_final(served, client):
    before = served[1].asked
    with pytest.raises(ServingError, match="no JPEG or PNG") as error:
        client.segment([b"no picture"] * 8, "a")
    assert error.value.status == "INVALID_ARGUMENT"
    assert error.value.reason[:300] in str(error.value)
    assert "\n" not in str(error.value)
    assert served[1].asked == before + 1


def test_unavailable_is_tried_again(served):
    address, services = served
    frames = requests.clip()
    services.failures[:] = [grpc.StatusCode.UNAVAILABLE] * 2
    client = ServingClient(grpc=address, model="red", timeout=SECONDS)
    before = services.asked
    client.segment(frames, "a", "segment_many")
    assert services.asked == before + 3
    services.failures[:] = [grpc.StatusCode.UNAVAILABLE]
    once = ServingClient(grpc=address, model="red", retries=0)
    with pytest.raises(ServingError, match="is the server running"):
        once.segment(frames, "a", "segment_many")
    assert not services.failures


def test_no_server_is_one_line_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = ServingClient(grpc=f"127.0.0.1:{port}", retries=0)
    with pytest.raises(ServingError, match="is the server running") as error:
        client.status()
    assert error.value.status == "UNAVAILABLE"
    assert "\n" not in str(error.value)


def test_silence_is_told_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        client = ServingClient(grpc=address, timeout=0.3, retries=0)
        with pytest.raises(ServingError) as error:
            client.status()
    assert error.value.status in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


def test_the_program_asks_the_port(served, tmp_path, repository):
    video = tmp_path / "video"
    video.mkdir()
    for number in range(1, 4):
        image = np.full((48, 64, 3), (20, 20, 250), np.uint8)
        cv2.imwrite(str(video / f"{number:05d}.png"), image)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "keras_vas.serving_client",
            f"--grpc={served[0]}",
            "--model=red",
            f"--video={video}",
            f"--query={'x' * 60}",
            "--every=2",
            f"--output={tmp_path / 'out'}",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=10 * SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{serving_model.ABOUT} It does not know: xx")
    written = json.loads((tmp_path / "out/masks.json").read_text())
    assert [x["id"] for x in written["images"]] == [1, 3]
    scores = [x["score"] for x in written["annotations"]]
    assert scores == pytest.approx([0.6, 0.6])
    for image in written["images"]:
        (path,) = tmp_path.glob(f"out/masks/*/{image['file_name']}")
        assert cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).min() == 255
