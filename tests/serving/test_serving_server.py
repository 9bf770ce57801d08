"""The local server, with plain HTTP against a computable model."""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.parse

import numpy as np
import pytest
import serving_model
import serving_requests as requests
import tensorflow as tf
from local_server import serve
from patience import SECONDS
from serving_requests import ask

from keras_vas.data.records import tfrecord
from keras_vas.errors import UserError
from keras_vas.export import warmup
from keras_vas.serving.local_server import models, server, tensors

PREDICT = "/v1/models/red:predict"
WHITE = {"inputs": {"frames": [[[[[255, 0, 0]]]]], "query": ["x" * 100]}}
SHORT = {"signature_name": "wait", "inputs": {"x": [1]}}
ENDLESS = {"signature_name": "wait", "inputs": {"x": [2_000_000_000]}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of a model in two versions: factor 1 and factor 0.5."""
    folder = tmp_path_factory.mktemp("served") / "red"
    serving_model.export(folder / "1")
    serving_model.export(folder / "2", factor=0.5)
    return folder


@pytest.fixture(scope="module")
def url(exported):
    with serve(
        exported,
        "all",
        {"stable": "1"},
        max_request_bytes=200_000,
        max_batch_size=16,
    ) as url:
        yield url


def until(condition):
    """Waits for what must happen, however busy the machine is."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def in_thread(function, *arguments):
    """A started thread; its `result` is there once it has been joined."""

    def run():
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            thread.result = function(*arguments)

    thread = threading.Thread(target=run)
    thread.result = None
    thread.start()
    return thread


def connect(url, text=b""):
    parts = urllib.parse.urlsplit(url)
    client = socket.create_connection((parts.hostname, parts.port), SECONDS)
    client.sendall(text)
    return client


def head(length):
    return (
        b"POST /v1/models/red:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def test_what_is_read_of_a_text_is_what_json_reads():
    rng = np.random.default_rng(0)
    parts = ["", "[", "]", ",", "1", "[1]", "],[", "-", "0", " "]
    whole = refused = 0
    for _ in range(1000):
        array = rng.integers(0, 256, rng.integers(1, 4, rng.integers(0, 5)))
        text = list(json.dumps(array.tolist()))
        read = tensors._numbers("".join(text).encode(), np.uint8, array.ndim)
        np.testing.assert_array_equal(read, array)
        for _ in range(rng.integers(1, 4)):
            text[rng.integers(len(text))] = rng.choice(parts)
        try:
            parsed = json.loads("".join(text))
        except ValueError:
            continue  # a body is read after msgspec has found it to be JSON
        for rank in range(5):
            try:
                read = tensors._numbers("".join(text).encode(), np.uint8, rank)
            except ValueError:
                refused += 1
            else:
                assert read.tolist() == parsed
                assert read.ndim == rank
                whole += 1
    assert whole > 100
    assert refused > 500


HOSTILE = {
    "numbers": b"1,",
    "lists": b"[],",
    "nested lists": b"[[[1]]],",
    "pixels": b"[[[1,2,3]]],",
    "fractions": b"1.5,",
    "objects": b"{},",
    "strings": b'"a",',
    "members": b'{"a":1},',
    "digits": b"9",
}


@pytest.mark.parametrize("place", ["inputs", "instances", "query", "else"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_takes_a_few_times_its_length(exported, name, place):
    item = HOSTILE[name]
    value = b"[" + item * (3_000_000 // len(item)) + b"1]"
    body = {
        "inputs": b'{"inputs": {"frames": %b, "query": ["a"]}}',
        "instances": b'{"instances": %b}',
        "query": b'{"inputs": {"frames": 1, "query": %b}}',
        "else": b'{"else": %b}',
    }[place] % value
    info = tf.compat.v1.saved_model.utils.build_tensor_info
    with tf.Graph().as_default():
        specs = {
            "frames": tf.compat.v1.placeholder(tf.uint8, [None] * 4 + [3]),
            "query": tf.compat.v1.placeholder(tf.string, [None]),
        }
        signature = tf.compat.v1.saved_model.build_signature_def(
            {key: info(x) for key, x in specs.items()}
        )
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        tensors.read(body, {"serving_default": signature}, 256)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 9 * len(body)


def test_paths_that_are_not_there_are_404_and_other_methods_405(url):
    for path in ("/", "/docs", "/etc/passwd", "/v2/health", "/v1/models"):
        assert ask(url, "GET", path)[0] == 404
    assert ask(url, "GET", f"/v1/models/red/versions/{'9' * 9999}")[0] == 404
    for method in ("DELETE", "BREW"):
        assert ask(url, method, "/v1/models/red")[0] == 405


def test_masks_are_the_computed_ones(url):
    clips = [requests.clip(seed) for seed in (1, 2)]
    queries = ["a dog", "the man in red"]
    body = {"inputs": {"frames": np.stack(clips).tolist(), "query": queries}}
    _, answer = ask(url, "POST", "/v1/models/red/versions/1:predict", body)
    for i, (frames, query) in enumerate(zip(clips, queries, strict=True)):
        mask, score = serving_model.expected_mask(frames, query)
        found = answer["outputs"]
        np.testing.assert_allclose(found["mask"][i], mask, atol=1e-6)
        np.testing.assert_allclose(found["score"][i], score, rtol=1e-6)


def test_the_latest_version_answers_unless_another_is_named(url):
    for path, expected in (
        ("", 0.5),
        ("/versions/2", 0.5),
        ("/versions/1", 1.0),
        ("/labels/stable", 1.0),
    ):
        _, answer = ask(url, "POST", f"/v1/models/red{path}:predict", WHITE)
        assert answer["outputs"]["score"] == [expected]


def test_status_names_every_version_and_its_state(url):
    def entry(version):
        return {
            "version": version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }

    for path, versions in (("", "21"), ("/versions/1", "1")):
        assert ask(url, "GET", f"/v1/models/red{path}") == (
            200,
            {"model_version_status": [entry(x) for x in versions]},
        )


def test_too_many_rows_are_refused(url):
    for count, status in ((16, 200), (17, 400), (10_000, 400)):
        request = {
            "signature_name": "segment_many",
            "inputs": {"frames": [[[[1, 2, 3]]]], "queries": ["a"] * count},
        }
        got, answer = ask(url, "POST", PREDICT, request)
        assert got == status
    assert answer["error"] == "input queries has more than 16 rows"
    rows = requests.jpeg_request(*[requests.row()] * 17)
    assert ask(url, "POST", PREDICT, rows)[0] == 400


def test_too_large_an_answer_is_refused(url, monkeypatch):
    monkeypatch.setattr(tensors, "MAX_ANSWER_VALUES", 2)
    assert ask(url, "POST", PREDICT, WHITE)[0] == 200
    wide = {"inputs": {"frames": [[[[[1, 0, 0]] * 2]]], "query": ["x"]}}
    status, answer = ask(url, "POST", PREDICT, wide)
    assert status == 400
    assert "3 values are too many" in answer["error"]


def test_too_large_a_request_is_refused_and_its_sender_hears_why(url):
    for size in (200_001, 700_000):
        status, answer = ask(url, "POST", PREDICT, b" " * size)
        assert status == 413
        assert "200000 bytes" in answer["error"]
    connection = http.client.HTTPConnection(
        urllib.parse.urlsplit(url).netloc, timeout=SECONDS
    )
    chunks = iter([b" " * 50_000] * 6)
    connection.request("POST", PREDICT, chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_what_ends_early_or_is_no_http_harms_nobody(url):
    for data in (
        head(50) + b"abc",
        head(-5),
        head(50).replace(b"50", b"many"),
        b"\x16\x03\x01 no http at all\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        os.urandom(1000),
    ):
        connect(url, data).close()
    assert ask(url, "GET", "/v1/models/red")[0] == 200


def test_mutilated_requests_never_bring_an_internal_error(url):
    rng = random.Random(1)
    parts = [b"", b"[", b"]", b"{", b'"', b"1", b"null", b"\xff", b":", b","]
    good = json.dumps(requests.jpeg_request(requests.row())).encode()
    seen = set()
    for _ in range(150):
        body = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            start = rng.randrange(len(body))
            end = start + rng.choice([0, 1, 1, 5, 50])
            body[start:end] = rng.choice(parts)
        seen.add(ask(url, "POST", PREDICT, bytes(body))[0])
    assert 400 in seen
    assert seen <= {200, 400}
    assert ask(url, "POST", PREDICT, good)[0] == 200


def test_clients_that_send_slowly_do_not_block_others(url):
    texts = [head(1000) + b"{", head(1000)[:-4]] * 20
    hung = [connect(url, text) for text in texts]
    assert ask(url, "POST", PREDICT, SHORT)[0] == 200
    for client in hung:
        client.close()


def test_a_client_that_sends_too_slowly_is_refused(exported):
    with serve(exported, timeout=0.1) as url:
        client = connect(url, head(1000) + b"{")
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
        client.close()


def test_endless_computations_end_in_time_and_leave_no_trace(exported):
    with serve(exported, timeout=1) as url:
        count = server.PLACES + 2
        clients = [
            in_thread(ask, url, "POST", PREDICT, ENDLESS) for _ in range(count)
        ]
        for client in clients:
            client.join()
            assert client.result == (504, {"error": "no result in time"})
        until(lambda: ask(url, "POST", PREDICT, SHORT)[0] == 200)


def test_more_than_it_can_hold_is_answered_with_503(exported):
    with serve(exported, max_request_bytes=100_000) as url:
        hung = [
            connect(url, head(100_000) + b" " * 99_999)
            for _ in range(server.MOST_BODIES)
        ]
        body = b" " * 90_000
        until(lambda: ask(url, "POST", PREDICT, body)[0] == 503)
        for client in hung:
            client.close()
        until(lambda: ask(url, "POST", PREDICT, body)[0] == 400)


def test_versions_come_and_go(exported, tmp_path):
    folder = tmp_path / "red"
    shutil.copytree(exported / "1", folder / "1")
    model = models.Model(folder)
    first = model.loaded["1"]

    def states():
        return {x["version"]: x["state"] for x in model.status()}

    model.refresh()
    assert model.loaded == {"1": first}
    shutil.copytree(exported / "2", folder / "2")
    model.refresh()
    assert model.loaded.keys() == {"2"}
    assert states() == {"2": "AVAILABLE"}
    (folder / "3").mkdir()
    (folder / "3/saved_model.pb").write_bytes(b"broken")
    for _ in range(2):
        model.refresh()
        assert model.find(None) == ("2", model.loaded["2"])
        assert states() == {"3": "END", "2": "AVAILABLE"}
    (broken,) = model.status("3")
    assert "saved_model.pb" in broken["status"]["error_message"]
    shutil.rmtree(folder)
    model.refresh()
    assert not model.find(None)


def test_only_the_versions_asked_for_are_served(exported):
    for versions, loaded in (("1", "1"), ("2,1", "12"), ("latest", "2")):
        assert models.Model(exported, versions).loaded.keys() == set(loaded)


def write_warmup(folder, **inputs):
    (folder / "assets.extra").mkdir()
    protos = {key: tf.make_tensor_proto(x) for key, x in inputs.items()}
    log = warmup.prediction_log("red", "segment_jpeg", protos)
    path = folder / "assets.extra" / warmup.FILE
    path.write_bytes(tfrecord.frame(log))


def test_warm_up_requests_are_replayed_before_it_answers(
    exported, tmp_path, monkeypatch
):
    picture = requests.png(requests.clip()[0])
    run, asked = models._Version._run, []
    monkeypatch.setattr(
        models._Version,
        "_run",
        lambda self, signature, arrays, *rest: (
            asked.append(arrays) or run(self, signature, arrays, *rest)
        ),
    )
    shutil.copytree(exported / "1", tmp_path / "red/1")
    write_warmup(tmp_path / "red/1", frames=[[picture] * 8], query=["a"])
    assert models.Model(tmp_path / "red").loaded.keys() == {"1"}
    (arrays,) = asked
    assert arrays["frames"].tolist() == [[picture] * 8]
    assert arrays["query"].tolist() == [b"a"]


def test_a_version_that_cannot_be_warmed_up_is_not_served(exported, tmp_path):
    shutil.copytree(exported / "1", tmp_path / "red/1")
    write_warmup(tmp_path / "red/1", frames=[[b"no picture"]], query=["a"])
    with pytest.raises(UserError, match="a frame is no JPEG or PNG picture"):
        models.Model(tmp_path / "red")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: None,
        lambda folder: folder.mkdir(),
        lambda folder: (folder / "1").mkdir(parents=True),
        serving_model.export,
    ],
)
def test_a_folder_without_a_model_is_a_user_error(tmp_path, make):
    make(tmp_path / "7")
    with pytest.raises(UserError, match=r"cannot load .*/7: no .*/1/saved_mod"):
        models.Model(tmp_path / "7")


def test_a_model_that_cannot_be_loaded_is_a_user_error(tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/saved_model.pb").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"cannot load .*/m: .*saved_model"):
        models.Model(tmp_path / "m")


def refuses(url):
    try:
        connect(url).close()
    except ConnectionRefusedError:
        return True
    return False


PROGRAM = """
import sys
from keras_vas import serving_server
serving_server._GRACE = float(sys.argv.pop(1))
serving_server._POLL = 0.01
serving_server.run()
"""


@contextlib.contextmanager
def program(repository, *flags, grace=10):
    """Yields the process, its address and the line that it prints first."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(grace), "--port=0", *flags],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        yield process, line.split("/v1/")[0].removeprefix("serving "), line
    finally:
        process.kill()
        process.communicate()


def test_the_program_serves_until_a_signal(exported, repository):
    flags = (f"--model={exported}", "--timeout=1")
    with program(repository, *flags) as (process, url, line):
        assert url.startswith("http://127.0.0.1:")
        assert line == f"serving {url}/v1/models/red (version 2)\n"
        assert ask(url, "POST", PREDICT, ENDLESS)[0] == 504
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err
        assert out == "stopped\n"
        assert err == ""
        assert refuses(url)


@pytest.mark.parametrize("grace", [SECONDS, 0])
def test_begun_requests_have_their_time_and_no_more(
    exported, repository, grace
):
    flags = (f"--model={exported}", f"--timeout={SECONDS}")
    with program(repository, *flags, grace=grace) as (process, url, _):
        body = json.dumps(SHORT if grace else ENDLESS).encode()
        sent = len(body) - 1 if grace else len(body)
        client = connect(url, head(len(body)) + body[:sent])
        until(lambda: ask(url, "POST", PREDICT, SHORT)[0] == 200)
        process.send_signal(signal.SIGTERM)
        until(lambda: refuses(url))
        if grace:
            client.sendall(body[sent:])
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        out, _ = process.communicate(timeout=SECONDS)
        client.close()
        assert (process.returncode, out) == (0, "stopped\n")


def test_the_program_loads_new_versions(exported, repository, tmp_path):
    folder = tmp_path / "red"
    shutil.copytree(exported / "1", folder / "1")
    shutil.copytree(exported / "2", tmp_path / "aside")
    with program(repository, f"--model={folder}") as (_, url, _):

        def score():
            answer = ask(url, "POST", PREDICT, WHITE)[1]
            return answer["outputs"]["score"]

        assert score() == [1.0]
        (tmp_path / "aside").rename(folder / "2")
        until(lambda: score() == [0.5])


def test_a_port_that_is_taken_or_none_is_one_line(exported, url, repository):
    taken = urllib.parse.urlsplit(url).port
    for port in (taken, 99_999):
        flags = (f"--model={exported}", f"--port={port}")
        with program(repository, *flags) as (process, _, line):
            assert line == ""
            _, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 1
            assert f"port {port}: " in err.splitlines()[-1]
            assert "give another --port" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label=stable"], "--label=stable: write it as stable:3"),
        (["--model=missing"], "cannot load .*missing: no .*/1/saved_model"),
        (["--versions=9"], "cannot load .*/red: no .*/1/saved_model"),
        (["--model={0}"], "--model: two folders have one name; rename one"),
    ],
)
def test_a_flag_that_is_wrong_is_one_line(exported, repository, flags, message):
    words = [f"--model={exported}", *(x.format(exported) for x in flags)]
    with program(repository, *words) as (process, *_):
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
        assert re.fullmatch(f"error: {message}.*", err.splitlines()[-1])
        assert "Traceback" not in err
