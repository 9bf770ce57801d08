"""The site of `make docs`: no broken link, and pages made of docstrings."""

import os
import re
import subprocess
import sys
import urllib.parse

import pytest

from keras_vas import layers, losses, metrics


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for command in (
        [repository / "docs" / "site_pages.py", folder / "pages"],
        ["-m", "mkdocs", "build", "--strict", "--config-file",
         folder / "pages" / "site.yml", "--site-dir", folder / "site"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    return folder / "site"


def described(path):
    """Names that a page of the API has a heading for."""
    return set(re.findall(r'<h\d id="([\w.]+)"', path.read_text()))


def test_every_page_is_there(site, repository):
    pages = [path.stem for path in (repository / "docs").glob("*.md")]
    assert len(pages) > 5
    for page in pages:
        assert (site / "docs" / f"{page}.html").is_file()
    home = (site / "index.html").read_text()
    for page in ("tfrecords/index", "serving/index", "api/layers"):
        assert f'href="{page}.html"' in home
        assert (site / f"{page}.html").is_file()


def test_the_interface_is_described(site):
    found = set().union(*map(described, (site / "api").glob("*.html")))
    assert {"keras_vas.load", "keras_vas.CSTM"} <= found
    for name in (
        "prediction.predictor.Predictor.segment",
        "serving.client.client.ServingClient.segment",
        f"losses.{losses.segmentation_loss.__name__}",
        f"metrics.{metrics.coco_map.__name__}",
    ):
        assert f"keras_vas.{name}" in found
    for layer in layers.PUBLIC_LAYERS:
        assert f"{layer.__module__}.{layer.__name__}" in found


def test_links_to_other_sites_are_well_formed(repository):
    links = {
        link
        for page in (repository / "README.md", *repository.glob("docs/*.md"))
        for link in re.findall(r"\]\((\w+://[^)\s]*)\)", page.read_text())
    }
    assert len(links) >= 12
    for link in links:
        parts = urllib.parse.urlsplit(link)
        assert parts.scheme in ("http", "https"), link
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link
    hosts = {urllib.parse.urlsplit(link).netloc for link in links}
    assert hosts >= {
        "web.eecs.umich.edu", "kgavrilyuk.github.io", "jhmdb.is.tue.mpg.de",
        "cocodataset.org", "davischallenge.org", "nlp.stanford.edu",
    }  # fmt: skip
