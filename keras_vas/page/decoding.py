"""From an uploaded file to a `StoredClip`, through `page.decoder`."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

from keras_vas.errors import UserError
from keras_vas.page.decoder import BAD_FILE
from keras_vas.page.stored_clip import StoredClip


def decode(upload, folder, name, limits):
    """Decodes an uploaded file; whatever it holds, this ends.

    Args:
        upload: `pathlib.Path` of the file.
        folder: `pathlib.Path`, missing; removed again if this fails.
        name: what the file is called in messages.
        limits: `Limits`.

    Returns:
        `StoredClip`.

    Raises:
        UserError: nothing in the file can be read within the limits.
    """
    command = [
        sys.executable,
        "-m",
        "keras_vas.page.decoder",
        str(upload.absolute()),
        str(folder.absolute()),
        name,
        json.dumps(dataclasses.asdict(limits)),
    ]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limits.decode_seconds,
            text=True,
        )
        problem = _problem(done, name)
    except subprocess.TimeoutExpired:
        problem = (
            f"{name} takes longer than {limits.decode_seconds} s to decode; "
            "give a shorter or smaller video."
        )
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(problem)
    return StoredClip(folder, name)


def _problem(done, name):
    if done.returncode == BAD_FILE:
        return done.stdout.strip() + "."
    if done.returncode:
        return (
            f"{name} cannot be decoded: it is damaged, or needs more memory "
            "or time than there is. Give another video."
        )
    return None
