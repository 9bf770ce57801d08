"""The local server in a thread of the test."""

import contextlib
import socket
import threading
import time

import uvicorn
from patience import SECONDS

from keras_vas.serving.local_server.models import Model
from keras_vas.serving.local_server.server import App


@contextlib.contextmanager
def serve(folder, versions="latest", labels=None, **options):
    """Yields the address of a server of the model in a folder."""
    model = Model(folder, versions, labels)
    server = uvicorn.Server(
        uvicorn.Config(App([model], **options), lifespan="off", log_config=None)
    )
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    end = time.monotonic() + SECONDS
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
