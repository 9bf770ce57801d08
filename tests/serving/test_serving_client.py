"""The client: numbers, retries, deadlines, errors, and the program."""

import json
import pathlib
import socket
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import serving_model
import serving_requests as requests
from local_server import serve
from patience import SECONDS

from keras_vas.errors import UserError
from keras_vas.pictures import overlay
from keras_vas.prediction import result_folder
from keras_vas.serving.client import client as client_module
from keras_vas.serving.client import rest_model
from keras_vas.serving.client.client import (
    Description,
    ServingClient,
    ServingError,
)
from keras_vas.video.reader import open_video

STATUS = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client") / "red"
    serving_model.export(folder / "1")
    serving_model.export(folder / "2", factor=0.5)
    with serve(folder, "all") as url:
        yield url


@pytest.fixture(scope="module")
def old_url(tmp_path_factory):
    """A server of an export without the newer signatures."""
    folder = tmp_path_factory.mktemp("old") / "red"
    serving_model.export(folder / "1", old=True)
    with serve(folder) as url:
        yield url


class Script(threading.Thread):
    """A server that treats one connection after the other as it is told.

    Args:
        *acts: for each connection, `bytes` to answer, or a callable of the
            connected socket.
    """

    def __init__(self, *acts):
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acts = acts
        self.connections = 0

    def run(self):
        for act in self._acts:
            connection, _ = self._listener.accept()
            self.connections += 1
            with connection:
                if not isinstance(act, bytes):
                    act(connection)
                    continue
                connection.recv(1 << 20)
                connection.sendall(act)
        self._listener.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._listener.close()


def answer(document, status=200):
    data = document if isinstance(document, bytes) else json.dumps(document)
    data = data if isinstance(data, bytes) else data.encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + data


def hang_up(connection):
    connection.recv(1)
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
    )


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which are not slept."""
    seconds = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", seconds.append)
    return seconds


@pytest.fixture
def asked(monkeypatch):
    """The signatures that are asked for."""
    names, predict = [], rest_model.RestModel.predict
    monkeypatch.setattr(
        rest_model.RestModel,
        "predict",
        lambda self, name, inputs: (
            names.append(name) or predict(self, name, inputs)
        ),
    )
    return names


def test_frames_travel_once_unless_the_export_is_old(url, old_url, asked):
    frames = requests.clip(height=30, width=40)
    pictures = [requests.png(frame) for frame in frames]
    large = np.zeros((8, 240, 240, 3), np.uint8)
    new, old = ServingClient(url, "red"), ServingClient(old_url, "red")
    for client, clip, queries, expected in (
        (new, frames, ["a", "b"], "segment_many_jpeg"),
        (new, pictures, "a", "segment_many_jpeg"),
        (old, frames, ["a", "b"], "segment_many"),
        (old, frames, "a", "segment_jpeg"),
        (old, large, ["a", "b"], "segment_jpeg"),
        (old, pictures, ["a", "b"], "segment_jpeg"),
    ):
        client.segment(clip, queries)
        assert asked.pop() == expected


def test_unknown_words_and_the_threshold_are_told(url, old_url):
    client = ServingClient(url, "red")
    found = client.describe(["the quick dog", "a fox", "quick man"])
    assert found.unknown_words == ("quick", "fox")
    assert found.threshold == pytest.approx(serving_model.THRESHOLD)
    assert str(found) == (
        f"{serving_model.ABOUT} It does not know: quick, fox."
    )
    assert str(client.describe("a dog")) == serving_model.ABOUT
    assert len(client.describe(["x"] * 300).unknown_words) == 1
    old = ServingClient(old_url, "red").describe("a fox")
    assert old == Description("", 0.5, ())
    assert "does not say which words" in str(old)


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"unknown_words": [""], "about": ["x"], "threshold": ["y"]},
        {"unknown_words": [5], "about": ["x"], "threshold": [0.5]},
        {"unknown_words": [""], "about": [], "threshold": [0.5]},
    ],
)
def test_an_answer_that_is_no_description_is_told(outputs):
    with Script(answer({"outputs": outputs})) as server:
        client = ServingClient(server.url)
        client._signatures = {"describe"}
        with pytest.raises(ServingError, match="answered with no descr"):
            client.describe("a")


def test_an_array_and_several_queries_give_the_computed_masks(url):
    frames = requests.clip(height=30, width=40)
    queries = ["a dog", "the man with a hat"]
    signature = "segment_many"
    client = ServingClient(url, "red", version=1)
    masks, scores = client.segment(frames, queries, signature)
    for i, query in enumerate(queries):
        mask, score = serving_model.expected_mask(frames, query)
        np.testing.assert_allclose(masks[i], mask, atol=1e-6)
        np.testing.assert_allclose(scores[i], score, rtol=1e-6)


def test_one_query_travels_as_pictures_and_comes_back_in_8_bits(url):
    # a smooth picture, of which JPEG loses little
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    frames = np.stack(
        [np.repeat(np.tile(np.roll(ramp, t), (32, 1))[..., None], 3, -1)
         for t in range(8)]
    )  # fmt: skip
    masks, scores = ServingClient(url, "red").segment(frames, "x" * 60)
    mask, score = serving_model.expected_mask(frames, "x" * 60, factor=0.5)
    assert masks.shape == (1, 32, 64)
    inside = np.abs(masks[0] - mask)[:, 12:]  # the ramp's jump is at 4
    assert inside.max() <= 3 / 255
    np.testing.assert_allclose(scores, [score], rtol=1e-6)


def test_pictures_are_sent_as_they_are(url):
    frames = requests.clip()
    pictures = [requests.png(frame) for frame in frames]
    masks, _ = ServingClient(url, "red", version=1).segment(
        pictures, ["x" * 100]
    )
    np.testing.assert_array_equal(masks[0] * 255, frames[4, :, :, 0])


@pytest.mark.parametrize(
    ("signature", "limit"),
    [("segment_jpeg", "MAX_REQUEST_BYTES"), ("segment_many_jpeg", "MAX_ROWS")],
)
def test_more_queries_than_fit_are_sent_in_several_requests(
    url, monkeypatch, asked, signature, limit
):
    frames = requests.clip()
    pictures = [requests.png(frame) for frame in frames]
    queries = ["x" * n for n in (10, 20, 30, 40, 50)]
    client = ServingClient(url, "red", version=1)
    masks, scores = client.segment(pictures, queries, signature)
    size = sum(len(requests.b64(p)["b64"]) for p in pictures)
    value = 2 if limit == "MAX_ROWS" else 2 * size + 1
    monkeypatch.setattr(client_module, limit, value)
    asked.clear()
    split_masks, split_scores = client.segment(pictures, queries, signature)
    assert asked == [signature] * 3
    np.testing.assert_array_equal(split_masks, masks)
    np.testing.assert_array_equal(split_scores, scores)


@pytest.mark.parametrize("model", ["", "a b", "a/b", "a:b", "a%20", "a?b"])
def test_a_name_that_is_no_model_is_a_user_error(model):
    with pytest.raises(UserError, match="no name of a model"):
        ServingClient("http://127.0.0.1:1", model)


def test_frames_as_json_are_the_frames():
    frames = requests.clip(time=3, height=5, width=7)
    text = rest_model._pixels_as_json(frames)
    np.testing.assert_array_equal(json.loads(text), frames)


def test_status_and_metadata(url):
    client = ServingClient(url + "/", "red")
    assert client.status() == {1: "AVAILABLE", 2: "AVAILABLE"}
    assert client.metadata()["wait"] == {
        "inputs": {"x": ("DT_INT32", (-1,))},
        "outputs": {"done": ("DT_FLOAT", (1,))},
    }


@pytest.mark.parametrize(
    ("frames", "queries", "signature"),
    [
        (np.zeros((8, 4, 4, 3), np.float32), "a", None),
        (np.zeros((4, 4, 3), np.uint8), "a", None),
        (np.zeros((0, 4, 4, 3), np.uint8), "a", None),
        (np.zeros((8, 4, 4, 3), np.uint8), [], None),
        (np.zeros((8, 4, 4, 3), np.uint8), [5], None),
        (np.zeros((8, 4, 4, 3), np.uint8), "a", "serving_default"),
        ([b"png"], "a", "segment_many"),
    ],
)
def test_other_kinds_of_input_are_refused_before_they_are_sent(
    frames, queries, signature
):
    client = ServingClient("http://127.0.0.1:1", "red")
    with pytest.raises(ValueError, match=r"must be|takes an array"):
        client.segment(frames, queries, signature)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8501",
        "ftp://x",
        "http://",
        "http://x:port",
        "http://x:99999",
        "http://x/v1/models/cstm",
        "http://x?a=b",
    ],
)
def test_an_address_of_another_form_is_a_user_error(url):
    with pytest.raises(UserError, match=r"http://HOST:PORT|without /v1/"):
        ServingClient(url)


def test_503_and_broken_connections_are_tried_again(pauses):
    with Script(
        answer({"error": "busy"}, 503), hang_up, answer(STATUS)
    ) as server:
        assert ServingClient(server.url).status() == {1: "AVAILABLE"}
        assert server.connections == 3
    assert pauses == [0.5]  # the first time at once


def test_pauses_double_up_to_a_limit_and_the_last_error_is_told(pauses):
    busy = answer({"error": "busy"}, 503)
    with Script(*[busy] * 9) as server:
        with pytest.raises(ServingError, match=r"503 .*busy \(9 attempts\)"):
            ServingClient(server.url, retries=8).status()
        assert server.connections == 9
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 504, 302])
def test_any_other_status_is_final(pauses, status):
    with Script(answer({"error": "no\nway"}, status)) as server:
        with pytest.raises(ServingError, match="no way") as error:
            ServingClient(server.url).status()
        assert server.connections == 1
    assert error.value.status == status
    assert error.value.reason == "no way"
    assert not pauses


def test_no_server_is_one_line_that_says_so(pauses):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = ServingClient(f"http://127.0.0.1:{port}", retries=2)
    with pytest.raises(ServingError) as error:
        client.status()
    assert str(error.value) == (
        f"cannot reach http://127.0.0.1:{port}/v1/models/cstm: Connection "
        "refused; is the server running? (3 attempts)"
    )
    assert error.value.status is None


def test_an_answer_that_does_not_come_in_time_is_not_asked_for_again():
    asked, over = threading.Event(), threading.Event()

    def silence(connection):
        asked.set()
        over.wait(SECONDS)

    with Script(silence) as server:
        with pytest.raises(ServingError, match=r"within 0\.2 seconds"):
            ServingClient(server.url, timeout=0.2).status()
        assert asked.wait(SECONDS)
        over.set()
        assert server.connections == 1


def test_a_client_keeps_its_connection():
    def three_answers(connection):
        for _ in range(3):
            connection.recv(1 << 20)
            kept = answer(STATUS).replace(b"Connection: close\r\n", b"")
            connection.sendall(kept)

    with Script(three_answers) as server:
        client = ServingClient(server.url)
        for _ in range(3):
            assert client.status() == {1: "AVAILABLE"}
        assert server.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"<html>"),
        answer(b"[" * 100_000),
        answer([1]),
        answer({"model_version_status": 5}),
        answer({"model_version_status": [{"version": "x"}]}),
    ],
)
def test_an_answer_that_is_no_status_is_told(reply):
    with Script(reply) as server, pytest.raises(ServingError, match="answered"):
        ServingClient(server.url).status()


def test_an_answer_that_is_cut_off_is_asked_for_again(pauses):
    cut = answer(STATUS)[:-10]
    with Script(cut, cut, answer(STATUS)) as server:
        assert ServingClient(server.url).status() == {1: "AVAILABLE"}


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"masks_png_bytes": ["x"], "scores": [1]},
        {"masks_png_bytes": [{"b64": "!"}], "scores": [1]},
        {"masks_png_bytes": [requests.b64(b"no picture")], "scores": [1]},
        {"masks_png_bytes": [requests.PICTURE], "scores": [1]},
        {"scores": [1]},
        [1],
    ],
)
def test_an_answer_without_masks_is_told(outputs):
    with (
        Script(answer({"outputs": outputs})) as server,
        pytest.raises(ServingError, match=r"answered with no (masks|outputs)"),
    ):
        ServingClient(server.url).segment(
            requests.clip(), "a", "segment_many_jpeg"
        )


@pytest.mark.parametrize(
    "outputs",
    [
        {"masks": [[[0.5]]], "scores": [1]},
        {"masks": [[[0.5] * 20] * 12], "scores": [1, 2]},
        {"masks": [[[0.5] * 20] * 11 + [[1]]], "scores": [1]},
        {"masks": [[[float("nan")] * 20] * 12], "scores": [1]},
        {"masks": [[["a"] * 20] * 12], "scores": [1]},
        5,
    ],
)
def test_masks_of_another_shape_or_without_values_are_told(outputs):
    with (
        Script(answer({"outputs": outputs})) as server,
        pytest.raises(ServingError, match="answered with"),
    ):
        ServingClient(server.url).segment(
            requests.clip(), "a", signature="segment_many"
        )


# refuses packages, then does what the program or a user of the class does
THIN = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ImportError("refused: " + name)
sys.meta_path.insert(0, Refuse())
sys.argv = {words}
{action}
"""
HEAVY = ("tensorflow", "keras", "jax", "fastapi", "scipy", "h5py")


def run_thin(action, refused, words=()):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            THIN.format(refused=refused, action=action, words=list(words)),
        ],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def run_program(*words):
    action = 'runpy.run_module("keras_vas.serving_client", run_name="__main__")'
    return run_thin(action, HEAVY, ["serving_client", *words])


def test_the_class_needs_numpy_opencv_and_urllib3_alone(url):
    others = ("absl", "google", "pycocotools", "docstring_parser", "requests")
    result = run_thin(
        "from keras_vas.serving_client import ServingClient; import numpy; "
        "frames = numpy.zeros((8, 6, 7, 3), numpy.uint8); "
        f"masks, _ = ServingClient('{url}', 'red').segment(frames, 'a dog'); "
        "print(masks.shape)",
        (*HEAVY, *others),
    )
    assert result.stdout == "(1, 6, 7)\n", result.stderr


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A folder of 12 frames, left half bright red from frame 6 on."""
    folder = tmp_path_factory.mktemp("video")
    for number in range(1, 13):
        image = np.full((48, 64, 3), 20, np.uint8)
        image[:, :32] = (20, 20, 250 if number >= 6 else 20)
        cv2.imwrite(str(folder / f"{number:05d}.png"), image)
    return folder


def test_the_program_writes_a_result_folder_without_tensorflow(
    url, video, tmp_path
):
    output = tmp_path / "out"
    queries = ["a" * 90, "b" * 40]
    result = run_program(
        f"--url={url}",
        "--model=red",
        "--model_version=1",
        f"--video={video}",
        *[f"--query={query}" for query in queries],
        "--every=5",
        f"--output={output}",
    )
    assert result.returncode == 0, result.stderr
    line = result.stdout.splitlines()[0]
    assert line == (
        f"{serving_model.ABOUT} It does not know: {', '.join(queries)}."
    )
    assert {path.name for path in output.iterdir()} == set(result_folder.PARTS)
    written = json.loads((output / "masks.json").read_text())
    assert [query["name"] for query in written["categories"]] == queries
    first = next(iter(open_video(video))).image
    assert [tuple(query["colour"]) for query in written["categories"]] == (
        overlay.palette_for(first, 2)
    )
    assert written["complete"]
    scores = [mask["score"] for mask in written["annotations"]]
    assert scores == 3 * [0.9, 0.4]
    assert [image["id"] for image in written["images"]] == [1, 6, 11]
    for image in written["images"]:
        # the model's own threshold, 0.35, is below both
        for i, found in enumerate([image["id"] >= 6] * 2):
            folder = output / "masks" / written["categories"][i]["folder"]
            path = folder / image["file_name"]
            expected = np.zeros((48, 64), np.uint8)
            expected[:, :32] = 255 * found
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            np.testing.assert_array_equal(mask, expected)


def test_the_program_takes_one_frame(url, video, tmp_path):
    for number in (1, 7):
        result = run_program(
            f"--url={url}",
            "--model=red",
            f"--video={video}",
            "--query=red",
            f"--frame={number}",
            f"--output={tmp_path / 'out'}",
        )
        assert result.returncode == 0, result.stderr
        names = [path.name for path in tmp_path.glob("out/masks/*/*")]
        assert names == [f"{number:05d}.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model=nope"], "there is no model nope"),
        (["--url=http://127.0.0.1:1", "--retries=0"], "cannot reach http"),
        (["--frame=13"], "--frame=13"),
        (["--query= "], "--query is empty"),
        (["--video=missing.mp4"], "missing.mp4"),
        (["--output=tests"], "tests holds something else"),
        (["--timeout=0"], "timeout=0.0 must be above 0"),
        (["--grpc=localhost"], "grpc=localhost is no address: write HOST:PORT"),
    ],
)
def test_the_program_says_in_one_line_what_is_wrong(
    url, video, tmp_path, words, message
):
    usual = {
        "--url": url,
        "--model": "red",
        "--video": video,
        "--query": "red",
        "--output": tmp_path / "out",
    }
    flags = [f"{name}={value}" for name, value in usual.items()]
    result = run_program(*flags, *words)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
