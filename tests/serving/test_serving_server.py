"""The local server's protocol, with plain HTTP against a computable model."""

import base64
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import cv2
import numpy as np
import pytest
import serving_model
import serving_requests as requests
from serving_requests import ask

from keras_vas.errors import UserError
from keras_vas.serving.local_server import (
    json_tensors,
    request_error,
    servables,
)
from keras_vas.serving.local_server import server as local_server


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of a model in two versions: factor 1 and factor 0.5."""
    folder = tmp_path_factory.mktemp("served") / "red"
    serving_model.export(folder / "1")
    serving_model.export(folder / "2", factor=0.5)
    return folder


def serve(folder, versions="latest", labels=None, **options):
    models = servables.find_models(folder, versions, labels)
    return local_server.LocalServer(models, **options)


@pytest.fixture(scope="module")
def url(exported):
    server = serve(
        exported,
        "all",
        {"stable": 1},
        max_request_bytes=200_000,
        max_batch_size=16,
    )
    with server:
        yield server.url


PREDICT = "/v1/models/red:predict"


@pytest.mark.parametrize("name", requests.REFUSED_BODIES)
def test_refuses_a_body_with_the_reason(url, name):
    body, reason = requests.REFUSED_BODIES[name]
    status, answer = ask(url, "POST", PREDICT, body)
    assert status == 400
    assert answer.keys() == {"error"}
    assert answer["error"]
    assert reason in answer["error"]


@pytest.mark.parametrize("name", requests.REFUSED_PATHS)
def test_refuses_a_path_with_the_reason(url, name):
    method, path, expected, reason = requests.REFUSED_PATHS[name]
    body = {"instances": [1]} if method == "POST" else None
    status, answer = ask(url, method, path.format(model="red"), body)
    assert (status, list(answer)) == (expected, ["error"])
    assert reason.format(model="red") in answer["error"]


def test_paths_outside_of_the_interface_are_404_and_odd_methods_405(url):
    assert ask(url, "GET", "/")[0] == 404
    assert ask(url, "GET", "/etc/passwd")[0] == 404
    assert ask(url, "GET", "/v2/health/ready")[0] == 404
    assert ask(url, "BREW", "/v1/models/red")[0] == 405


def test_rows_and_columns_give_the_computed_masks(url):
    clips = [requests.clip(seed) for seed in (1, 2)]
    queries = ["a dog", "the man in red"]
    rows = [
        {"frames": frames.tolist(), "query": query}
        for frames, query in zip(clips, queries, strict=True)
    ]
    columns = {"frames": np.stack(clips).tolist(), "query": queries}
    path = "/v1/models/red/versions/1:predict"
    _, by_rows = ask(url, "POST", path, {"instances": rows})
    _, by_columns = ask(url, "POST", path, {"inputs": columns})
    assert len(by_rows["predictions"]) == 2
    for i, (frames, query) in enumerate(zip(clips, queries, strict=True)):
        mask, score = serving_model.expected_mask(frames, query)
        item = by_rows["predictions"][i]
        assert item.keys() == {"mask", "score"}
        np.testing.assert_allclose(item["mask"], mask, atol=1e-6)
        np.testing.assert_allclose(item["score"], score, rtol=1e-6)
        outputs = by_columns["outputs"]
        assert outputs["mask"][i] == item["mask"]
        assert outputs["score"][i] == item["score"]


def test_one_output_has_no_name(url):
    request = {"signature_name": "halve", "instances": [1.0, 3]}
    assert ask(url, "POST", PREDICT, request) == (
        200,
        {"predictions": [0.5, 1.5]},
    )
    request = {"signature_name": "halve", "inputs": [1.0, 3]}
    assert ask(url, "POST", PREDICT, request) == (200, {"outputs": [0.5, 1.5]})


def test_floats_may_be_nan_and_infinite(url):
    body = b'{"signature_name": "halve", "instances": [NaN, -Infinity, 1e999]}'
    status, answer = ask(url, "POST", PREDICT, body)
    values = answer["predictions"]
    assert status == 200
    assert np.isnan(values[0])
    assert values[1:] == [-np.inf, np.inf]


def test_strings_are_base64_only_where_the_name_ends_in_bytes(url):
    request = {
        "signature_name": "repeat",
        "instances": ["né", requests.b64("né".encode())],
    }
    _, answer = ask(url, "POST", PREDICT, request)
    item = {"text": "né", "text_bytes": requests.b64("né".encode())}
    assert answer == {"predictions": [item, item]}


def test_base64_may_lack_its_padding(url):
    request = {"signature_name": "repeat", "inputs": [{"b64": "YQ"}]}
    assert ask(url, "POST", PREDICT, request)[1]["outputs"]["text"] == ["a"]


def test_pictures_go_in_and_come_back_as_bytes(url):
    frames = requests.clip()
    item = requests.row(requests.pictures(frames), "x" * 100)
    path = "/v1/models/red/labels/stable:predict"
    _, answer = ask(url, "POST", path, requests.jpeg_request(item))
    mask = answer["predictions"][0]["mask_png_bytes"]
    assert mask.keys() == {"b64"}
    data = np.frombuffer(base64.b64decode(mask["b64"]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(picture, frames[4, :, :, 0])


def test_the_latest_version_answers_unless_another_is_named(url):
    request = {"inputs": {"frames": [[[[[255, 0, 0]]]]], "query": ["x" * 100]}}
    for path, expected in (
        ("/v1/models/red", 0.5),
        ("/v1/models/red/versions/2", 0.5),
        ("/v1/models/red/versions/1", 1.0),
        ("/v1/models/red/labels/stable", 1.0),
    ):
        _, answer = ask(url, "POST", f"{path}:predict", request)
        assert answer["outputs"]["score"] == [expected]


def test_status_names_every_version_and_its_state(url):
    def entry(version):
        return {
            "version": version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }

    assert ask(url, "GET", "/v1/models/red") == (
        200,
        {"model_version_status": [entry("2"), entry("1")]},
    )
    assert ask(url, "GET", "/v1/models/red/versions/1") == (
        200,
        {"model_version_status": [entry("1")]},
    )


def test_metadata_names_the_tensors_of_every_signature(url):
    status, answer = ask(url, "GET", "/v1/models/red/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "red",
        "signature_name": "",
        "version": "2",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "segment_jpeg", "segment_many"} <= set(
        signatures
    )
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    frames = default["inputs"]["frames"]
    assert frames["dtype"] == "DT_UINT8"
    sizes = [n["size"] for n in frames["tensor_shape"]["dim"]]
    assert sizes == ["-1", "-1", "-1", "-1", "3"]
    assert signatures["segment_jpeg"]["outputs"]["mask_png_bytes"]["dtype"] == (
        "DT_STRING"
    )


def test_classify_is_refused_for_a_signature_that_predicts(url):
    body = {"examples": [{"x": 1}]}
    status, answer = ask(url, "POST", "/v1/models/red:classify", body)
    assert status == 400
    assert "Expected classification signature method_name" in answer["error"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 100_000, "nested too deep"),
        (
            b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}",
            "expecting an object as multiple",
        ),
        (
            b'{"signature_name": "halve", "inputs": %b1%b}'
            % (b"[" * 800, b"]" * 800),
            "input x must have shape [-1]",
        ),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "Number too big"),
        (
            b'{"signature_name": "halve", "inputs": [1' + b"0" * 400 + b"]}",
            "without loss of precision",
        ),
        (
            b'{"signature_name": "halve", "inputs": [1e39]}',
            "Cannot convert JSON value: 1e+39 to float without loss",
        ),
        (
            b'{"signature_name": "halve", "inputs": [1, 16777217]}',
            "Cannot convert JSON value: 16777217 to float without loss",
        ),
        (
            b'{"signature_name": "repeat", "inputs": ["\\ud800"]}',
            "surrogate pair",
        ),
        (b'{"inputs": "\xff"}', "Invalid encoding in string. at offset: 12"),
        (b'{"inputs": [[[[[300, 0, 0]]]]]}', "expecting an object"),
        (
            b'{"inputs": {"query": ["a"], "frames": [[[[[300, 0, 0]]]]]}}',
            "JSON Value: 300 Type: Number is not of expected type: uint8",
        ),
        (
            b'{"inputs": {"query": ["a"], "frames": []}}',
            "input frames must have shape [-1,-1,-1,-1,3]",
        ),
        (
            b'{"inputs": {"query": ["a"], "frames": [[[[[1, 2]]]]]}}',
            "Received: [1,1,1,1,2]",
        ),
    ],
)
def test_hostile_bodies_are_refused(url, body, reason):
    status, answer = ask(url, "POST", PREDICT, body)
    assert status == 400
    assert reason in answer["error"]
    assert len(answer["error"]) < 1000


def test_too_many_queries_are_refused(url):
    for count, status in ((16, 200), (17, 400), (10_000, 400)):
        request = {
            "signature_name": "segment_many",
            "inputs": {"frames": [[[[1, 2, 3]]]], "queries": ["a"] * count},
        }
        got, answer = ask(url, "POST", PREDICT, request)
        assert got == status
    assert answer["error"] == (
        "Task size 10000 is larger than maximum input batch size 16"
    )


def test_too_large_an_answer_is_refused():
    large = np.broadcast_to(np.float32(0), (5000, 5000))
    with pytest.raises(request_error.RequestError, match="25000000 values"):
        json_tensors.write_outputs({"masks": large}, False)


def test_too_large_a_request_is_refused_and_its_sender_hears_why(url):
    for size in (200_001, 700_000):
        status, answer = ask(url, "POST", PREDICT, b" " * size)
        assert status == 413
        assert "larger than 200000 bytes" in answer["error"]
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 10) as client:
        client.sendall(
            b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 900000000000\r\n\r\n"
        )
        assert b" 413 " in client.recv(200)


def test_too_large_a_request_in_chunks_is_refused(url):
    connection = http.client.HTTPConnection(
        urllib.parse.urlsplit(url).netloc, timeout=10
    )
    chunks = iter([b" " * 50_000] * 6)
    connection.request("POST", PREDICT, chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_request_that_ends_early_or_is_no_http_harms_nobody(url):
    parts = urllib.parse.urlsplit(url)
    for data in (
        b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 50\r\n\r\nabc",
        b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: -5\r\n\r\n",
        b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: many\r\n\r\n",
        b"\x16\x03\x01 no http at all\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        os.urandom(1000),
    ):
        with socket.create_connection((parts.hostname, parts.port), 10) as bad:
            bad.sendall(data)
    assert ask(url, "GET", "/v1/models/red")[0] == 200


def test_mutilated_requests_never_bring_an_internal_error(url):
    rng = random.Random(1)
    good = json.dumps(
        requests.jpeg_request(requests.row()) | {"x": [[1.5, None], True]}
    ).encode()
    seen = set()
    for _ in range(150):
        body = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            start = rng.randrange(len(body))
            end = start + rng.choice([0, 1, 1, 5, 50])
            body[start:end] = rng.choice(
                [
                    b"",
                    b"[",
                    b"]",
                    b"{",
                    b'"',
                    b"1",
                    b"null",
                    b"\xff",
                    b":",
                    b",",
                ]
            )
        seen.add(ask(url, "POST", PREDICT, bytes(body))[0])
    assert seen == {200, 400} or seen == {400}
    assert ask(url, "POST", PREDICT, good)[0] == 200


def test_hung_clients_do_not_block_others_and_are_dropped(exported):
    with serve(exported, patience=1.0) as server:
        parts = urllib.parse.urlsplit(server.url)
        hung = []
        for i in range(40):
            client = socket.create_connection((parts.hostname, parts.port), 10)
            client.sendall(
                b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
                + (b"Content-Length: 1000\r\n\r\n{" if i % 2 else b"X: ")
            )
            hung.append(client)
        start = time.monotonic()
        request = {"signature_name": "halve", "instances": [1]}
        assert ask(server.url, "POST", PREDICT, request)[0] == 200
        assert time.monotonic() - start < 1
        for client in hung:
            client.settimeout(10)
            while client.recv(1000):
                pass
            client.close()


def test_a_long_computation_fails_in_time_and_blocks_nobody(exported):
    with serve(exported, timeout=0.5) as server:
        request = {"signature_name": "wait", "inputs": [1e4]}
        answers = []
        long = threading.Thread(
            target=lambda: answers.append(
                ask(server.url, "POST", PREDICT, request)
            )
        )
        long.start()
        short = {"signature_name": "halve", "instances": [1]}
        assert ask(server.url, "POST", PREDICT, short)[0] == 200
        long.join()
        assert answers == [(504, {"error": "no result within 0.5 seconds"})]


def test_more_than_it_can_hold_is_answered_with_503(exported):
    with serve(exported, max_request_bytes=100_000, patience=20) as server:
        parts = urllib.parse.urlsplit(server.url)
        hung = []
        for _ in range(4):
            client = socket.create_connection((parts.hostname, parts.port), 10)
            client.sendall(
                b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 100000\r\n\r\n" + b" " * 99_999
            )
            hung.append(client)
        body = b" " * 90_000
        deadline = time.monotonic() + 10
        while ask(server.url, "POST", PREDICT, body)[0] != 503:
            assert time.monotonic() < deadline
        for client in hung:
            client.close()
        while ask(server.url, "POST", PREDICT, body)[0] != 400:
            assert time.monotonic() < deadline


def test_more_requests_than_places_are_answered_with_503(exported, monkeypatch):
    monkeypatch.setattr(local_server, "_MAX_WAITING", 1)
    with serve(exported) as server:
        request = {"signature_name": "wait", "inputs": [300.0]}
        statuses = []
        clients = [
            threading.Thread(
                target=lambda: statuses.append(
                    ask(server.url, "POST", PREDICT, request)[0]
                )
            )
            for _ in range(6)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert set(statuses) == {200, 503}
        assert ask(server.url, "POST", PREDICT, request)[0] == 200


def test_a_client_that_does_not_take_its_answer_is_dropped(exported):
    with serve(exported, patience=0.5) as server:
        body = json.dumps(
            {
                "signature_name": "segment_many",
                "inputs": {
                    "frames": np.zeros((1, 200, 200, 3), int).tolist(),
                    "queries": ["a"] * 50,
                },
            }
        ).encode()
        parts = urllib.parse.urlsplit(server.url)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((parts.hostname, parts.port))
        client.sendall(
            b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        client.recv(1, socket.MSG_PEEK)
        time.sleep(1)
        received = 0
        client.settimeout(10)
        while chunk := client.recv(1 << 20):
            received += len(chunk)
        client.close()
        assert 0 < received < 8_000_000


def test_versions_come_and_go_while_it_runs(exported, tmp_path):
    folder = tmp_path / "red"
    shutil.copytree(exported / "1", folder / "1")
    request = {"inputs": {"frames": [[[[[255, 0, 0]]]]], "query": ["x" * 100]}}

    def score():
        return ask(server.url, "POST", PREDICT, request)[1]["outputs"]["score"]

    def states():
        answer = ask(server.url, "GET", "/v1/models/red")[1]
        return {
            v["version"]: v["state"] for v in answer["model_version_status"]
        }

    def until(condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, states()
            time.sleep(0.02)

    with serve(folder, poll_seconds=0.05) as server:
        assert score() == [1.0]
        shutil.copytree(exported / "2", tmp_path / "aside")
        (tmp_path / "aside").rename(folder / "2")
        until(lambda: score() == [0.5])
        until(lambda: states() == {"2": "AVAILABLE", "1": "END"})
        (tmp_path / "aside").mkdir()
        (tmp_path / "aside/saved_model.pb").write_bytes(b"broken")
        (tmp_path / "aside").rename(folder / "3")
        until(lambda: "3" in states() and states()["3"] == "END")
        assert score() == [0.5]
        status = ask(server.url, "GET", "/v1/models/red/versions/3")[1]
        assert status["model_version_status"][0]["status"]["error_message"]
        shutil.rmtree(folder)
        folder.mkdir()
        until(lambda: ask(server.url, "POST", PREDICT, request)[0] == 404)


def test_only_the_versions_asked_for_are_served(exported):
    with serve(exported, frozenset({1})) as server:
        _, answer = ask(server.url, "GET", "/v1/models/red")
        versions = [v["version"] for v in answer["model_version_status"]]
        assert versions == ["1"]


def test_a_folder_of_models_serves_each_under_its_name(exported, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(exported / "1", tmp_path / name / "1")
    (tmp_path / "notes").mkdir()
    models = servables.find_models(tmp_path)
    assert [model.name for model in models] == ["one", "two"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no folder"),
        (lambda folder: folder.mkdir(), "no SavedModel in"),
        (
            lambda folder: serving_model.export(folder),
            "is one version of a model: give the folder that holds its",
        ),
    ],
)
def test_a_folder_without_a_model_is_a_user_error(tmp_path, make, message):
    make(tmp_path / "7")
    with pytest.raises(UserError, match=message):
        servables.find_models(tmp_path / "7")


def test_a_model_that_cannot_be_loaded_is_a_user_error(tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/saved_model.pb").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"cannot load any version of .*m: "):
        serve(tmp_path / "m").start()


def test_a_taken_port_is_a_user_error(exported, url):
    port = urllib.parse.urlsplit(url).port
    with pytest.raises(
        UserError, match=rf"port {port}: .*; give another --port"
    ):
        serve(exported, port=port).start()


def test_the_program_serves_until_a_signal_and_finishes_what_it_began(
    exported, repository
):
    program = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "keras_vas.serving_server",
            f"--model={exported}",
            "--port=0",
        ],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = program.stdout.readline()
        assert line.startswith("serving http://127.0.0.1:")
        assert line.endswith("/v1/models/red (version 2)\n")
        url = line.split()[1].split("/v1/")[0]
        answers = []
        request = {"signature_name": "wait", "inputs": [1500.0]}
        client = threading.Thread(
            target=lambda: answers.append(ask(url, "POST", PREDICT, request))
        )
        client.start()
        time.sleep(0.3)
        program.send_signal(signal.SIGTERM)
        client.join()
        out, err = program.communicate(timeout=30)
    finally:
        program.kill()
    assert program.returncode == 0, err
    assert out == "stopped\n"
    assert "Traceback" not in err
    assert answers[0][0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(url, "GET", "/v1/models/red")
