"""A local server with the REST protocol of TensorFlow Serving.

    python -m keras_vas.serving_server --model=DIR/cstm --port=8501

For development and tests, where the `tensorflow/serving` image cannot run;
`serving/README.md` says what it leaves out. It ends on ctrl-C and SIGTERM,
after the requests that it has begun.
"""

import signal
import threading

from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError


def main(_):
    """Serves the models that the flags name until a signal comes."""
    # TensorFlow is imported after the flags are known to be right
    from keras_vas.serving.local_server import servables
    from keras_vas.serving.local_server import server as local_server

    values = flags.FLAGS
    models = [
        model
        for path in values.model
        for model in servables.find_models(
            path, _versions(values.versions), _labels(values.label)
        )
    ]
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise UserError(
            f"--model: two models have one name ({', '.join(sorted(names))}); "
            "rename a folder"
        )
    server = local_server.LocalServer(
        models,
        address=values.address,
        port=values.port,
        max_request_bytes=values.max_request_bytes,
        max_batch_size=values.max_batch_size,
        timeout=values.timeout,
    )
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    server.start()
    for model in models:
        versions = ", ".join(map(str, model.loaded()))
        print(
            f"serving {server.url}/v1/models/{model.name} (version {versions})",
            flush=True,
        )
    ending.wait()
    server.stop()
    print("stopped", flush=True)


def _versions(text):
    if text in ("latest", "all"):
        return text
    try:
        return frozenset(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(
            f"--versions={text}: give latest, all, or numbers such as 3,4"
        ) from None


def _labels(texts):
    labels = {}
    for text in texts:
        label, _, number = text.partition(":")
        if not label or not number.isdecimal():
            raise UserError(f"--label={text}: write it as stable:3")
        labels[label] = int(number)
    return labels


def _define_flags():
    flags.DEFINE_multi_string(
        "model",
        None,
        "Folder with the numbered versions of a model, or folder of such "
        "folders; may be given several times.",
        required=True,
    )
    flags.DEFINE_string(
        "versions",
        "latest",
        "Versions to serve: latest, all, or numbers with commas.",
    )
    flags.DEFINE_multi_string(
        "label", [], "LABEL:VERSION; may be given several times."
    )
    flags.DEFINE_integer(
        "port", 8501, "Port, 0 for any.", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_string(
        "address",
        "127.0.0.1",
        "Address to listen at; 0.0.0.0 lets every machine in, and nothing "
        "asks them who they are.",
    )
    flags.DEFINE_integer(
        "max_request_bytes", 64 << 20, "Longest request.", lower_bound=1
    )
    flags.DEFINE_integer(
        "max_batch_size", 256, "Most examples or queries.", lower_bound=1
    )
    flags.DEFINE_float(
        "timeout", 120.0, "Seconds until a request fails.", lower_bound=0.1
    )


if __name__ == "__main__":
    _define_flags()
    command_line.run(main)
