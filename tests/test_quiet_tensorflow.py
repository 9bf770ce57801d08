"""What TensorFlow says when it starts, and what is let through of it."""

import os
import subprocess
import sys

import pytest

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written
I0000 00:00:17.1  1 port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2, in other operations, rebuild
E0000 00:00:17.1  1 cuda_platform.cc:52] failed call to cuInit: INTERNAL
"""
NEWS = (
    "E0000 00:00:17.1  1 driver.cc:9] the driver is too old\nits second line\n"
)
PROGRAM = "import keras_vas, tensorflow; print(tensorflow.__version__)"


def run(repository, program, path=None, level=None):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    paths = [*([str(path)] if path else []), str(repository)]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def scripted_tensorflow(tmp_path):
    """A folder with a module tensorflow that writes noise and news."""

    def make(ending):
        (tmp_path / "tensorflow.py").write_text(
            f"import os\nos.write(2, {(NOISE + NEWS).encode()!r})\n"
            "__version__ = '0'\n"
            "class config:\n"
            "    list_physical_devices = staticmethod(lambda kind: [kind])\n"
            f"{ending}\n"
        )
        return tmp_path

    return make


def test_the_installed_tensorflow_starts_without_a_word(repository):
    done = run(repository, PROGRAM)
    assert done.returncode == 0
    assert done.stdout.strip()
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("level", "said"), [(None, NEWS), ("2", NEWS), ("0", NOISE + NEWS)]
)
def test_only_noise_is_held_back(repository, scripted_tensorflow, level, said):
    done = run(repository, PROGRAM, scripted_tensorflow(""), level)
    assert (done.stdout, done.stderr) == ("0\n", said)


def test_a_failed_import_says_all_that_is_no_noise(
    repository, scripted_tensorflow
):
    folder = scripted_tensorflow("raise ImportError('no library')")
    done = run(repository, PROGRAM, folder)
    assert done.returncode == 1
    assert done.stderr.startswith(NEWS)
    assert "ImportError: no library" in done.stderr
