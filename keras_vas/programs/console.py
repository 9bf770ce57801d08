"""The command keras-vas: every program, from anywhere.

keras-vas COMMAND does what the program of that name does in a checkout:
keras-vas segment is python segment.py, keras-vas build_a2d_sentences is
python tfrecords/build_a2d_sentences.py. keras-vas COMMAND --help tells more.
"""

import inspect
import runpy
import sys

from keras_vas.command_line import configs, lines

_MODULES = {
    "segment": "keras_vas.programs.segment",
    "archive": "keras_vas.archive",
    "app": "keras_vas.app",
    "presets": "keras_vas.presets",
    "train": "keras_vas.programs.train",
    "evaluate": "keras_vas.programs.evaluate",
    "export": "keras_vas.programs.export",
    "serve": "keras_vas.serving_server",
    "client": "keras_vas.serving_client",
    "weights": "keras_vas.weights",
    "port_cstm": "keras_vas.programs.port_cstm",
    "summary": "keras_vas.models.summary",
    "draw_clip": "keras_vas.data.moving_actors",
}
# Packages that come with an extra alone.
_EXTRAS = dict.fromkeys(("fastapi", "msgspec", "orjson", "uvicorn"), "serving")


def main():
    """Runs the command that the first word names."""
    builders = {
        path.stem: path
        for path in sorted(configs.folder("tfrecords").glob("build_*.py"))
    }
    commands = [*_MODULES, *builders]
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h", "help"):
        print(inspect.cleandoc(__doc__))
        print("\nCommands: " + ", ".join(commands))
    elif command not in commands:
        sys.exit(
            f"error: keras-vas has no command {command}; it has "
            + ", ".join(commands)
        )
    else:
        sys.argv = [f"keras-vas {command}", *rest]
        if command in builders:
            sys.path.insert(0, str(builders[command].parent))
            runpy.run_path(str(builders[command]), run_name="__main__")
        else:
            _run_module(command)


def _run_module(command):
    try:
        runpy.run_module(_MODULES[command], run_name="__main__")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        lines.fail(
            f"keras-vas {command} needs {error.name}; install it: pip install "
            f"'keras_vas[{_EXTRAS[error.name]}]'"
        )
