"""The plan of the house: who may import whom; see CONTRIBUTING.md."""

import ast
import collections

import pytest

from keras_vas.models import registry

FLOORS = {
    1: "layers losses metrics errors files packed_files quiet_tensorflow",
    2: "backbones data video command_line",
    3: "models weights pictures presence serving",
    4: "evaluation runs presets",
    5: "prediction training",
    6: "page serving_client",
    7: "export",
    8: "app archive serving_server programs",
}
ROOMS = {room: n for n, rooms in FLOORS.items() for room in rooms.split()}
WITHOUT_TENSORFLOW = (
    "layers", "backbones", "models", "losses", "metrics", "data.records",
    "video", "pictures", "serving.client",
)  # fmt: skip
WITHOUT_KERAS = ("data.records", "video", "pictures", "serving.client")
LARGEST_FILE = 400
LOOSE_MODULES = 10


@pytest.fixture(scope="module")
def sources(repository):
    """Dict of module name to its tree; `keras_vas.` is left out."""
    folder = repository / "keras_vas"
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    assert len(found) > 100
    return found


def imported(tree, modules, lazily=True):
    """Modules that a tree imports: ours without `keras_vas.`, others whole."""
    nodes = ast.walk(tree) if lazily else _at_the_top(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if not name.startswith("keras_vas"):
                yield name
                continue
            name = name.removeprefix("keras_vas").removeprefix(".")
            yield name if name in modules else name.rpartition(".")[0]


def _at_the_top(tree):
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)


def is_program(tree):
    """Whether a module ends in `if __name__ == "__main__"`."""
    return any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
        for node in tree.body
    )


def test_imports_go_down(sources):
    checked, wrong = 0, []
    for name, tree in sources.items():
        if not name or is_program(tree):
            continue
        floor = ROOMS[name.split(".")[0]]
        for other in imported(tree, sources):
            if other in sources and other:
                checked += 1
                if ROOMS[other.split(".")[0]] > floor:
                    wrong.append(f"{name} imports {other}")
    assert not wrong
    assert checked > 300


def test_nothing_imports_a_program(sources):
    programs = {name for name, tree in sources.items() if is_program(tree)}
    assert len(programs) > 5
    wrong = [
        f"{name} imports {other}"
        for name, tree in sources.items()
        for other in imported(tree, sources)
        # Two are both: the cost of a model, and the child of page.decoding.
        if other in programs - {"models.summary", "page.decoder"}
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("rooms", "library"),
    [(WITHOUT_TENSORFLOW, "tensorflow"), (WITHOUT_KERAS, "keras")],
)
def test_rooms_do_without_a_library(sources, rooms, library):
    for name, tree in sources.items():
        if name.startswith(rooms):
            for other in imported(tree, sources):
                assert other.split(".")[0] != library, f"{name}: {other}"


def test_no_import_circle(sources):
    graph = {
        name: {
            other
            for other in imported(tree, sources, lazily=False)
            if other in sources and other not in ("", name)
        }
        for name, tree in sources.items()
    }
    done = collections.Counter()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if not done[name]:
            for other in sorted(graph[name]):
                visit(other, [*path, name])
        done[name] += 1

    for name in graph:
        visit(name, [])
    assert len(done) == len(sources)


def test_a_model_is_named_in_its_folder_and_in_the_registry(sources):
    folders = {path.rpartition(".")[0] for path in registry.MODELS.values()}
    assert len(folders) > 2
    wrong = [
        name
        for name, tree in sources.items()
        for other in imported(tree, sources)
        for room in ("models.cstm", "models.compared")
        if other.startswith(room)
        # `keras_vas.CSTM` is its public name.
        and name
        and not name.startswith((room, "models.segmenter"))
    ]
    assert not wrong


def test_files_are_small_and_few_lie_loose(repository):
    folder = repository / "keras_vas"
    paths = [
        *folder.rglob("*.py"),
        *repository.glob("*.py"),
        *(repository / "tfrecords").glob("*.py"),
        *(repository / "benchmarks").glob("*.py"),
    ]
    lines = {path: len(path.read_text().splitlines()) for path in paths}
    too_long = [f"{p}: {n}" for p, n in lines.items() if n > LARGEST_FILE]
    assert len(lines) > 120
    assert not too_long
    assert len(list(folder.glob("*.py"))) <= LOOSE_MODULES
