"""A local server with the REST protocol of TensorFlow Serving.

    python -m keras_vas.serving_server --model=DIR/cstm --port=8501

For development and tests, where the `tensorflow/serving` image cannot run;
`serving/README.md` says what it leaves out. On ctrl-C and SIGTERM it gives
begun requests ten seconds, and ends.
"""

import os
import signal
import threading

from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError
from keras_vas.serving.local_server.server import serve


def main(_):
    """Serves the models that the flags name until a signal comes."""
    values = flags.FLAGS
    versions, labels = _versions(values.versions), _labels(values.label)
    # TensorFlow is imported after the flags are known to be right
    import tensorflow as tf

    from keras_vas.serving.local_server.models import find_models

    # a session is told of its age at every load
    tf.get_logger().setLevel("ERROR")
    models = [
        model
        for path in values.model
        for model in find_models(path, versions, labels)
    ]
    names = sorted(model.path.name for model in models)
    if len(set(names)) < len(names):
        raise UserError(
            f"--model: two models have one name ({', '.join(names)}); rename a "
            "folder"
        )
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with command_line.build(serve, models=models) as url:
        for model in models:
            address = f"{url}/v1/models/{model.path.name}"
            numbers = ", ".join(sorted(model.loaded, key=int))
            print(f"serving {address} (version {numbers})", flush=True)
        ending.wait()
    print("stopped", flush=True)
    # whatever still runs in a thread must not keep the process
    os._exit(0)


def _versions(text):
    if text in ("latest", "all"):
        return text
    numbers = text.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise UserError(
            f"--versions={text}: give latest, all, or numbers such as 3,4"
        )
    return set(numbers)


def _labels(texts):
    labels = dict(text.partition(":")[::2] for text in texts)
    for label, number in labels.items():
        if not label or not number.isdecimal():
            raise UserError(f"--label={label}:{number}: write it as stable:3")
    return labels


def _define_flags():
    flags.DEFINE_multi_string(
        "model",
        None,
        "Folder with the numbered versions of a model, or folder of such "
        "folders; give the flag again for more.",
        required=True,
    )
    flags.DEFINE_string(
        "versions",
        "latest",
        "Versions to serve: latest, all, or numbers with commas between.",
    )
    flags.DEFINE_multi_string(
        "label",
        [],
        "Name of a version, such as stable:3; give the flag again for more.",
    )
    command_line.define_flags(serve, without=("models",))


if __name__ == "__main__":
    _define_flags()
    command_line.run(main)
