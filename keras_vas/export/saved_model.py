"""A run as one file or folder that others can use.

    DIR/<version>/                      a SavedModel for TF Serving
      saved_model.pb, variables/
      assets/vocabulary.txt
      assets.extra/model_card.json, model_card.md
      assets.extra/tf_serving_warmup_requests

    FILE.keras                          a Keras file with further members
      keras_vas/vocabulary.txt, config.json, presence.json

A version is written aside and renamed when it is complete, so that a server
that watches the folder never loads half of one.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import re
import shutil
import zipfile
from typing import Literal

import keras
import tensorflow as tf

from keras_vas import files
from keras_vas.command_line import checked
from keras_vas.data import frame_size
from keras_vas.errors import UserError
from keras_vas.export import model_card
from keras_vas.export import warmup as warmup_requests
from keras_vas.export.checks import MAX_ROWS
from keras_vas.export.graph import ServedModel
from keras_vas.export.images import MAX_REQUEST_PIXELS
from keras_vas.prediction import about as about_lib
from keras_vas.prediction.segmenters import MANIFEST
from keras_vas.presence import score as presence_score
from keras_vas.presets.keras_file import MEMBERS
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

PRECISIONS = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True)
class Variant:
    """What may differ between two exports of one run.

    Attributes:
        height: height at which the model sees frames, a multiple of 32; by
            default the run's.
        width: width at which the model sees frames, likewise.
        precision: precision of weights and arithmetic; bfloat16 has half the
            size; int8 is for OpenVINO, and calibrated on the records of
            --data.
        fixed_shape: HEIGHTxWIDTH of all frames that are sent, where a
            compiler needs to know; by default any.
        batch_size: clips in every request, likewise; by default any number.

    Raises:
        UserError: a size is impossible.
    """

    height: int | None = None
    width: int | None = None
    precision: Literal[*PRECISIONS] = "float32"
    fixed_shape: str | None = None
    batch_size: int | None = None

    def __post_init__(self):
        rows = 1 if self.batch_size is None else self.batch_size
        if not 1 <= rows <= MAX_ROWS:
            raise UserError(
                f"--batch_size={rows} is not between 1 and {MAX_ROWS}"
            )
        height, width = self.frame_size or (1, 1)
        if not 1 <= rows * height * width <= MAX_REQUEST_PIXELS:
            raise UserError(
                f"--fixed_shape={height}x{width} must have at least one pixel, "
                f"and all rows together at most {MAX_REQUEST_PIXELS}"
            )

    @property
    def frame_size(self):
        """`(height, width)` of the frames that are sent, or None for any."""
        if self.fixed_shape is None:
            return None
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.fixed_shape)
        if not found:
            raise UserError(
                f"--fixed_shape={self.fixed_shape} is not of the form "
                "HEIGHTxWIDTH, such as 240x320"
            )
        return int(found[1]), int(found[2])

    def network_size(self, config):
        """`(height, width)` at which the model of a run sees frames.

        Args:
            config: dict of the run's config.json.

        Raises:
            UserError: they are no multiples of 32.
        """
        size = (
            self.height or config["flags"]["frame_height"],
            self.width or config["flags"]["frame_width"],
        )
        checked(frame_size.check_size, *size)
        return size


def load(run, which="best", precision="float32"):
    """Loads a run to export it.

    Args:
        run: run directory written by train.py.
        which: `"best"` or `"last"` checkpoint.
        precision: of the model's weights and arithmetic.

    Returns:
        `(model, vocabulary, config)` like `checkpoint.load_run`.

    Raises:
        UserError: a file is missing, damaged, or does not fit the others.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model, vocabulary, config = run_directory.load_run(run, which)
    finally:
        keras.config.set_dtype_policy(before)
    return model, vocabulary, config


def saved_model(
    run,
    output,
    variant,
    *,
    which="best",
    calibration=None,
    evaluation=None,
    licence=None,
    preset=None,
):
    """Writes the next version of a model for TF Serving.

    Args:
        run: run directory written by train.py.
        output: folder of the model; its last part is the model's name, under
            which it is served. Made if it is missing.
        variant: `Variant`.
        which: `"best"` or `"last"` checkpoint.
        calibration: `presence_score.Calibration`; by default the run's.
        evaluation: dict of an evaluation's metrics.json for the model card;
            by default the run's, if it has one of this checkpoint.
        licence: str, licence of the weights for the model card.
        preset: `presets.Preset` of which the run was made, for the card.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: the run is no whole run, `output` is a file or another
            export is writing there, or it cannot be written.
    """
    output = pathlib.Path(output)
    check_folder(output)
    if variant.precision == "int8":
        raise UserError("--precision=int8 needs --format=openvino")
    calibration = calibration or presence_score.Calibration.load(run)
    model, vocabulary, config = load(run, which, variant.precision)
    height, width = variant.network_size(config)
    shape = {
        "height": height,
        "width": width,
        "frame_size": variant.frame_size,
        "batch_size": variant.batch_size,
    }
    card = card_of(
        run,
        output,
        (model, vocabulary, config, calibration),
        which=which,
        evaluation=evaluation,
        licence=licence,
        preset=preset,
        precision=variant.precision,
        **shape,
    )
    name = card["name"]
    about = about_lib.of_run(name, config, model, vocabulary)
    if preset:
        about = about_lib.of_preset(name, preset, model, vocabulary)
    served = ServedModel(
        model,
        vocabulary,
        calibration,
        vocabulary_path=pathlib.Path(run) / "vocabulary.txt",
        about=str(about),
        **shape,
    )
    warmup = warmup_requests.requests(
        name,
        model.input["frames"].shape[1],
        *(variant.frame_size or (height, width)),
        variant.batch_size or 1,
    )

    def write(folder):
        tf.saved_model.save(served, str(folder), signatures=served.signatures)
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / warmup_requests.FILE).write_bytes(warmup)
        finish(folder, card)

    with readable_errors(output):
        return write_version(output, write)


def card_of(run, output, loaded, *, which, evaluation, **more):
    """The card of an export, see `model_card.card`.

    Args:
        run: run directory.
        output: `pathlib.Path` of the folder of the model, named as it.
        loaded: `(model, vocabulary, config, calibration)` of the run.
        which: `"best"` or `"last"` checkpoint.
        evaluation: dict of metrics.json, or `None` for the run's.
        **more: further arguments of `model_card.card`.
    """
    return model_card.card(
        *loaded,
        name=output.resolve().name,
        run=run,
        which=which,
        best=_best(run, which),
        evaluation=evaluation or _evaluation(run, which),
        **more,
    )


def finish(folder, card):
    """Adds the card and the manifest to an export's folder."""
    extra = folder / "assets.extra"
    (extra / "model_card.json").write_text(model_card.as_json(card))
    (extra / "model_card.md").write_text(model_card.markdown(card))
    files.write_manifest(folder, folder / MANIFEST)


def keras_file(run, output, *, which="best"):
    """Writes a run as one `.keras` file that Keras can load.

    Args:
        run: run directory written by train.py.
        output: path that ends in `.keras` and does not exist.
        which: `"best"` or `"last"` checkpoint.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        UserError: the run is no whole run, or the file cannot be written.
    """
    output = pathlib.Path(output)
    check_keras_file(output)
    model, _, config = load(run, which)
    calibration = presence_score.Calibration.load(run)
    members = {
        "vocabulary.txt": (pathlib.Path(run) / "vocabulary.txt").read_bytes(),
        "config.json": json.dumps(config).encode(),
        "presence.json": json.dumps(dataclasses.asdict(calibration)).encode(),
    }
    with readable_errors(output), files.atomic_path(output) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, content in members.items():
                archive.writestr(f"{MEMBERS}{name}", content)
    return output


def check_folder(output):
    """Raises a `UserError` if no version can be written in `output`."""
    output = pathlib.Path(output)
    for path in (output, *output.parents):
        if path.exists():
            if not path.is_dir():
                raise UserError(
                    f"--output={output}: {path} is a file; name a folder"
                )
            return


def check_keras_file(output):
    """Raises a `UserError` if `output` is no name for a new `.keras` file."""
    output = pathlib.Path(output)
    if output.suffix != ".keras":
        raise UserError(f"--output={output} must end in .keras")
    if output.exists():
        raise UserError(
            f"--output={output} exists; remove it or name another file"
        )
    check_folder(output.parent)


def _best(run, which):
    path = (
        run_directory.best_path if which == "best" else run_directory.last_path
    )
    return checkpoint.load_metadata(path(run)).get("best")


def _evaluation(run, which):
    path = pathlib.Path(run) / "metrics.json"
    if not path.is_file():
        return None
    found = files.read_json(path, "evaluate the run again")
    return found if found.get("checkpoint") == which else None


def write_version(output, write):
    """Makes the next version of a model: whole, or not at all.

    Args:
        output: `pathlib.Path` of the folder of versions, made if missing.
        write: function that fills the empty folder whose path it is given.

    Returns:
        `pathlib.Path` of the version, named by the lowest number above all.

    Raises:
        UserError: another process is writing a version there.
    """
    with files.lock(output):
        aside = output / files.UNFINISHED
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            write(aside)
            _flush(aside)
            return _rename(aside, output)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _rename(aside, output):
    """Gives the folder the next number, also if somebody else just took it."""
    while True:
        taken = files.version_folders(output)
        number = int(taken[-1].name) + 1 if taken else 1
        try:
            return aside.rename(output / str(number))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _flush(folder):
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def readable_errors(path):
    """Says in one line why `path` cannot be written."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        reason = getattr(error, "message", None) or error
        raise UserError(
            f"cannot write {path}: {reason}; nothing is left there. Free some "
            "disk space or check the permissions, and export again"
        ) from error
