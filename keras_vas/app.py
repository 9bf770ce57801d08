r"""A web page that finds what a sentence means in a video.

    python -m keras_vas.app --model=RUN

RUN is a run directory of train.py, a .keras file or a SavedModel of
export.py; only the first two can show word attention. Needs Gradio: pip
install 'keras_vas[app]'. Ctrl-C ends it.

Only this computer can open the page unless --host says otherwise. What
visitors send is kept in a temporary folder, apart for each, and removed when
they close the page and when the program ends.
"""

import contextlib
import errno
import os
import pathlib
import signal
import socket
import sys
import threading

from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError
from keras_vas.page import temporary_folder
from keras_vas.page.limits import Limits

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Run directory, .keras file or SavedModel folder.",
    required=True,
)
_WHICH = flags.DEFINE_enum(
    "which", "best", ["best", "last"], "Checkpoint of a run directory."
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. Anyone who reaches it can use the page; there is "
    "no password and no encryption.",
)
_PORT = flags.DEFINE_integer(
    "port", 7860, "Port; 0 for any that is free.", lower_bound=0
)
_MAX_MEGABYTES = flags.DEFINE_integer(
    "max_megabytes",
    Limits.megabytes,
    "Largest file that may be sent.",
    lower_bound=1,
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    Limits.seconds,
    "How much of a video is used.",
    lower_bound=0.1,
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames",
    Limits.frames,
    "How many frames of a video are used.",
    lower_bound=1,
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    Limits.side,
    "Longer side of the frames in pixels; larger ones are scaled down.",
    lower_bound=32,
)
_CONNECTIONS = 256
_LAST_SECONDS = 2
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def main(_):
    """Serves the page until it is interrupted."""
    limits = Limits(
        megabytes=_MAX_MEGABYTES.value,
        seconds=_MAX_SECONDS.value,
        frames=_MAX_FRAMES.value,
        side=_MAX_SIDE.value,
    )
    # The temporary folder is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        contextlib.closing(_listen(_HOST.value, _PORT.value)) as listening,
        temporary_folder.folder() as folder,
    ):
        # Gradio reads these when it is imported. It sends nothing anywhere,
        # and what it would write comes to lie in the folder that is removed.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
        _require_gradio()
        from keras_vas.prediction import predictor as prediction_predictor

        predictor = prediction_predictor.load(_MODEL.value, _WHICH.value)
        port = listening.getsockname()[1]
        name = _HOST.value if ":" not in _HOST.value else f"[{_HOST.value}]"
        application, visits = application_of(
            predictor, folder, limits, name, port
        )
        print(f"The page is at http://{name}:{port} (ctrl-C ends it)")
        _serve(application, visits, listening)


def application_of(predictor, folder, limits, host, port):
    """The whole page as an ASGI application.

    Args:
        predictor: `prediction_predictor.Predictor`.
        folder: `pathlib.Path` of an empty folder for everything temporary.
        limits: `Limits`.
        host: address it will be served at; of a loopback address, the page
            answers to the names of this machine alone.
        port: likewise.

    Returns:
        The application, and its `Visits`.
    """
    from keras_vas.page import layout, routes, samples
    from keras_vas.page.gate import Gate
    from keras_vas.page.inbox import Inbox
    from keras_vas.page.visits import Visits

    folder = pathlib.Path(folder)
    visits = Visits(folder / "visits", limits)
    inbox = Inbox(folder / "inbox", limits)
    drawn = samples.draw(folder / "samples", limits)
    page = layout.build(predictor, visits, inbox, drawn, limits)
    inner = layout.mount(routes.make(visits, inbox, limits), page, limits)
    hosts = (*_LOOPBACK, host) if host in _LOOPBACK else None
    return Gate(inner, f"keras_vas_{port}", hosts), visits


def _serve(application, visits, listening):
    import uvicorn

    config = uvicorn.Config(
        application,
        log_level="warning",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_SECONDS,
        server_header=False,
    )
    stopped = threading.Event()
    sweeper = threading.Thread(
        target=visits.sweep_until, args=[stopped], daemon=True
    )
    sweeper.start()
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        stopped.set()


def _listen(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        what = "is taken" if taken else f"cannot be listened on ({error})"
        raise UserError(
            f"{host}:{port} {what}; give another --host or --port"
        ) from error
    return listening


def _require_gradio():
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            "the page needs Gradio; install it: pip install 'keras_vas[app]'"
        ) from error


if __name__ == "__main__":
    command_line.run(main)
