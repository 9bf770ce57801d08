"""A local server with the REST protocol of TensorFlow Serving.

    python -m keras_vas.serving_server --model=DIR/cstm --port=8501

For development and tests, where the `tensorflow/serving` image cannot run;
`serving/README.md` says what it leaves out. On ctrl-C and SIGTERM it gives
begun requests ten seconds, and ends.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import uvicorn
from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError
from keras_vas.serving.local_server.server import App

_GRACE, _POLL = 10, 1.0  # seconds


def main(_):
    """Serves the models that the flags name until a signal comes."""
    values = flags.FLAGS
    labels = dict(label.partition(":")[::2] for label in values.label)
    if not all(map(str.isdecimal, labels.values())):
        raise UserError(f"--label={values.label[0]}: write it as stable:3")
    # TensorFlow is imported after the flags are known to be right
    from keras_vas.serving.local_server.models import Model

    models = [Model(path, values.versions, labels) for path in values.model]
    if len({model.path.name for model in models}) < len(models):
        raise UserError("--model: two folders have one name; rename one")
    server = uvicorn.Server(
        uvicorn.Config(
            command_line.build(App, models=models),
            lifespan="off",
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=_GRACE,
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        listener = socket.create_server((values.address, values.port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen at {values.address} port {values.port}: {error}; "
            "give another --port or --address"
        ) from error
    # an answer must not wait for the client's delayed ACK
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://{values.address}:{listener.getsockname()[1]}/v1/models"
    for model in models:
        numbers = ", ".join(sorted(model.loaded, key=int))
        print(f"serving {url}/{model.path.name} (version {numbers})")
    threading.Thread(target=_poll, args=[models], daemon=True).start()
    sys.stdout.flush()
    server.run([listener])
    print("stopped", flush=True)
    # whatever still runs in a thread must not keep the process
    os._exit(0)


def _poll(models):
    while True:
        time.sleep(_POLL)
        for model in models:
            # a folder that cannot be read now may be later
            with contextlib.suppress(OSError):
                model.refresh()


def run():
    """Defines the flags and runs the program."""
    flags.DEFINE_multi_string(
        "model",
        None,
        "Folder, named as the model, of its versions; again for other models.",
        required=True,
    )
    flags.DEFINE_string(
        "versions", "latest", "What to serve: latest, all, or such as 3,4."
    )
    flags.DEFINE_multi_string(
        "label", [], "Name of a version, such as stable:3; may be repeated."
    )
    flags.DEFINE_string(
        "address",
        "127.0.0.1",
        "Address to listen at; 0.0.0.0 lets every machine in, and nothing "
        "asks them who they are.",
    )
    flags.DEFINE_integer("port", 8501, "Port to listen at, 0 for any.")
    command_line.define_flags(App, without=("models",))
    command_line.run(main)


if __name__ == "__main__":
    run()
