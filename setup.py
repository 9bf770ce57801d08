"""What pyproject.toml cannot say: two folders go into the package.

configs/ and tfrecords/ are keras_vas/configs and keras_vas/tfrecords of a
wheel. In an editable installation they stay where they are.
"""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithFolders(build_py):
    """Copies the package and the two folders."""

    def run(self):
        """Copies them to where the wheel is made of."""
        super().run()
        if self.editable_mode:
            return
        package = pathlib.Path(self.build_lib, "keras_vas")
        for folder in ("configs", "tfrecords"):
            shutil.rmtree(package / folder, ignore_errors=True)
            shutil.copytree(
                folder,
                package / folder,
                ignore=shutil.ignore_patterns("__pycache__"),
            )


setup(cmdclass={"build_py": BuildWithFolders})
