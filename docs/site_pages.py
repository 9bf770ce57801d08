"""Lays out the pages of the site that `make docs` builds.

    python docs/site_pages.py FOLDER

Every page keeps its path in the repository, README.md as home, and what it
links to is copied with it, so that a link holds there if it holds here. Pages
of the API are made of docstrings.
"""

import argparse
import json
import pathlib
import re
import shutil

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAYERS = sorted(path.stem for path in ROOT.glob("keras_vas/layers/[!_]*.py"))
API = {
    "Using a model": (
        "keras_vas.load",
        "keras_vas.prediction.predictor.Predictor",
        "keras_vas.prediction.result.FrameResult",
        "keras_vas.prediction.result.Segmentation",
        "keras_vas.prediction.options.Options",
        "keras_vas.video.reader.open_video",
    ),
    "CSTM": ("keras_vas.CSTM",),
    "Layers": tuple(f"keras_vas.layers.{name}" for name in LAYERS),
    "Losses and metrics": ("keras_vas.losses", "keras_vas.metrics"),
    "Serving client": (
        "keras_vas.serving.client.client.ServingClient",
        "keras_vas.serving.client.client.Description",
        "keras_vas.serving.client.client.ServingError",
    ),
}
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')


def lay_out(folder):
    """Writes `site.yml` and `pages/` into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    guides = sorted(path.name for path in ROOT.glob("docs/*.md"))
    navigation = [
        {"Home": "README.md"},
        {"Guides": [f"docs/{name}" for name in guides]},
        {"Records": "tfrecords/README.md"},
        {"Serving": "serving/README.md"},
        {"API": [{title: _api_page(title)} for title in API]},
        {"Contributing": "CONTRIBUTING.md"},
        {"Changelog": "CHANGELOG.md"},
    ]
    pages = re.findall(r'"([\w/.]+\.md)"', json.dumps(navigation))
    pages = [ROOT / page for page in pages if not page.startswith("api/")]
    for path in {*pages, *_linked(pages)}:
        copy = folder / "pages" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for title, names in API.items():
        page = folder / "pages" / _api_page(title)
        page.parent.mkdir(exist_ok=True)
        page.write_text(
            "\n\n".join([f"# {title}", *(f"::: {name}" for name in names)])
        )
    settings = (ROOT / "docs" / "site.yml").read_text(encoding="utf-8")
    (folder / "site.yml").write_text(
        f"{settings}nav: {json.dumps(navigation)}\n", encoding="utf-8"
    )


def _api_page(title):
    return f"api/{title.lower().replace(' ', '_')}.md"


def _linked(pages):
    """Files of the repository that pages link to."""
    for page in pages:
        for found in LINK.findall(page.read_text(encoding="utf-8")):
            target = "".join(found).partition("#")[0]
            path = (page.parent / target).resolve()
            if path.is_file() and path.is_relative_to(ROOT):
                yield path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=pathlib.Path, help="Is made anew.")
    lay_out(parser.parse_args().folder)
