"""The whole page as an application, and the server that it runs in.

Gradio reads the environment when it is imported: nothing here imports it
before `serve` has set that.
"""

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import sys

from keras_vas.errors import UserError
from keras_vas.page import temporary_folder

_LAST_SECONDS = 2
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(source, limits, host, port, proxy):
    """Serves the page until the program is interrupted.

    Args:
        source: `options.Source`.
        limits: `Limits`.
        host: address to listen on.
        port: likewise; 0 takes any that is free.
        proxy: see `server`.

    Raises:
        UserError: the address is taken, Gradio is missing, or there is no
            such model.
    """
    # The temporary folder is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        contextlib.closing(_listen(host, port)) as listening,
        temporary_folder.folder() as folder,
    ):
        # It sends nothing anywhere, and what it would write comes to lie in
        # the folder that is removed.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
        _require_gradio()
        from keras_vas.prediction import predictor

        loaded = predictor.load(*dataclasses.astuple(source))
        print(f"{loaded.about} Computed by {loaded.runtime}.")
        port = listening.getsockname()[1]
        application, visits = application_of(loaded, folder, limits, host, port)
        name = f"[{host}]" if ":" in host else host
        print(f"The page is at http://{name}:{port} (ctrl-C ends it)")
        with visits.sweeping():
            server(application, limits, proxy).run(sockets=[listening])


def application_of(predictor, folder, limits, host, port):
    """The whole page as an ASGI application.

    Args:
        predictor: `predictor.Predictor`.
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

    visits = Visits(folder / "visits", limits)
    inbox = Inbox(folder / "inbox", limits)
    clips = samples.choose(predictor.about, folder / "samples", limits)
    page = layout.build(predictor, visits, inbox, clips, limits)
    inner = layout.mount(routes.make(visits, inbox), page, limits)
    queue = layout.Queue(page)
    hosts = _LOOPBACK if host in _LOOPBACK else None
    return Gate(inner, queue, limits, f"keras_vas_{port}", hosts), visits


def server(application, limits, proxy=None):
    """The server that an application runs in.

    Args:
        application: of ASGI.
        limits: `Limits`.
        proxy: address of a proxy in front, whose word on the addresses of
            visitors is taken; `None` takes nobody's.

    Returns:
        `uvicorn.Server`.
    """
    import uvicorn

    from keras_vas.page.connections import impatient

    config = uvicorn.Config(
        application,
        http=impatient(limits, proxy),
        ws="none",
        log_level="warning",
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=_LAST_SECONDS,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
    )
    return uvicorn.Server(config)


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
