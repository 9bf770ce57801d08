"""Lets TensorFlow start without its own messages.

While `tensorflow` is imported and looks for devices, its C++ code writes a
dozen lines to standard error, whatever TF_CPP_MIN_LOG_LEVEL says. `install`
holds them back and lets through what is not of that kind; a GPU that
TensorFlow cannot use is said in one line of our own. With
TF_CPP_MIN_LOG_LEVEL=0 or 1 everything is shown.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile

_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_START_MESSAGES = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\)"
    r"|[IW]\d{4} \d\d:\d\d:"
    r"|E\d{4} \d\d:\d\d:.*(cuInit|Unable to register cu|already been regist)"
    r"|To enable the following instructions:"
)
_GPU_DEVICES = ("/dev/nvidia0", "/dev/dxg")


def install():
    """Makes the next import of tensorflow in this process quiet."""
    level = os.environ.setdefault(_VARIABLE, "3")
    if level not in ("0", "1") and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        load = spec.loader.exec_module

        def load_quietly(module):
            with _without_start_messages():
                load(module)
                gpus = module.config.list_physical_devices("GPU")
            if not gpus and any(map(os.path.exists, _GPU_DEVICES)):
                print(
                    "warning: there is a GPU that TensorFlow does not use; "
                    f"{_VARIABLE}=0 shows why",
                    file=sys.stderr,
                )

        spec.loader.exec_module = load_quietly
        return spec


@contextlib.contextmanager
def _without_start_messages():
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not _START_MESSAGES.match(line):
                    print(line, file=sys.stderr)
