"""Every reader of a user's file, under damage: success, or one line.

Seeds are fixed. A reader has 40 cases, and at most two seconds; with
KERAS_VAS_FUZZ_SECONDS, as many cases as it can take in that time.
"""

import csv
import itertools
import json
import os
import pickle
import resource
import sys
import tempfile
import time
from unittest import mock

import cv2
import h5py
import numpy as np
import one_layer
import patience
import pytest
import scipy.io
import small_records
from absl import flags
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from keras_vas.command_line import configs
from keras_vas.data import records
from keras_vas.data.records import (
    mask_files,
    parsing,
    schema,
    source_files,
    tfrecord,
)
from keras_vas.data.text.vocabulary import Vocabulary, sentence_warnings
from keras_vas.errors import UserError
from keras_vas.export import saved_model
from keras_vas.models import registry
from keras_vas.models.variables import model_variables
from keras_vas.prediction import keras_file
from keras_vas.presence.score import Calibration
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.serving.local_server import tensors
from keras_vas.video.reader import open_video
from keras_vas.weights import containers

_GIVEN = os.environ.get("KERAS_VAS_FUZZ_SECONDS")
SECONDS = float(_GIVEN or 2)
CASES = sys.maxsize if _GIVEN else 40
LARGEST_GROWTH = 1 << 20  # KiB
HEADER = 300  # bytes
RNG = np.random.default_rng(0)
ARRAY = RNG.normal(size=(3, 4, 5)).astype(np.float32)
MASKS = RNG.random((2, 9, 12)) > 0.5


def damaged(data, seed):
    """Copies of some bytes: flipped, cut, zeroed, or with a part repeated.

    Every second one is flipped in its header alone.
    """
    rng = np.random.default_rng(seed)
    for case in itertools.count():
        copy = bytearray(data)
        end = len(copy) if case % 2 else min(len(copy), HEADER)
        for _ in range(rng.integers(1, 6)):
            copy[rng.integers(end)] ^= 1 << rng.integers(8)
        start, end = sorted(rng.integers(0, len(copy) + 1, 2))
        if case % 5 == 0:
            del copy[start:]
        elif case % 5 == 1:
            copy[start:end] = bytes(end - start)
        elif case % 5 == 2:
            copy[start:start] = copy[start:end]
        yield bytes(copy)


def npz(path):
    checkpoint.save(path, {"a/kernel": ARRAY}, {"training_only": []})


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["conv1/kernel"] = ARRAY


def pickled(path):
    path.write_bytes(pickle.dumps({"conv1": {"kernel": ARRAY}}))


def masks(path):
    with h5py.File(path, "w") as file:
        file["instance"], file["reMask"] = [1, 2], MASKS


def table(path):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["a", "b, c"], ["d", 'e "f"']] * 4)


def config(path):
    text = {"flags": {"frame_height": 32, "frame_width": 32}, "model": {}}
    path.write_text(json.dumps(text))


def picture(path):
    cv2.imwrite(str(path), np.tile(np.arange(48, dtype=np.uint8), (32, 1)))


def video(path):
    size = (64, 48)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size
    )
    for i in range(6):
        writer.write(np.full((*size[::-1], 3), 40 * i, np.uint8))
    writer.release()


def record(path):
    frame = schema.AnnotatedFrame(
        dataset="d", video_id="v", subset="test", frame_number=3,
        clip=[np.zeros((9, 12, 3), np.uint8)] * schema.CLIP_LENGTH,
        clip_frame_numbers=schema.clip_frame_numbers(3, 9), height=9, width=12,
        actors=(schema.Actor("1", MASKS[0]),),
        queries=(schema.Query("a dog", 0),),
    )  # fmt: skip
    path.write_bytes(schema.serialize(frame))


def whole_run(folder):
    model = one_layer.OneLayer(vocabulary_size=4)
    run_directory.start(
        folder,
        flags={"frame_height": 32, "frame_width": 32},
        architecture="one",
        model=model.get_config(),
        data_manifest={},
        words=["a", "dog"],
    )
    checkpoint.save(
        run_directory.best_path(folder),
        checkpoint.read(model_variables(model)),
        {"training_only": []},
    )


def keras_model(path):
    with tempfile.TemporaryDirectory() as folder, KNOWN:
        whole_run(folder)
        saved_model.keras_file(folder, path)


def read_keras_model(path):
    with KNOWN:
        keras_file.load(path)


def read_run(path):
    with KNOWN:
        run_directory.load_run(path.parent)


def read_sentence(path):
    text = path.read_bytes().decode(errors="replace")
    vocabulary = Vocabulary(["a", "dog"])
    assert vocabulary.encode([text]).shape == (1, 20)
    assert len(sentence_warnings([text] * 2, vocabulary)) in (0, 1, 2)


def read_flagfile(path):
    known = flags.FlagValues()
    flags.DEFINE_integer("epochs", 1, "Epochs.", flag_values=known)
    flags.DEFINE_list("stages", [], "Stages.", flag_values=known)
    with mock.patch.object(sys, "argv", ["train.py", f"--flagfile={path}"]):
        known(configs.words())


def read_frames(path):
    return [frame.image.shape for frame in open_video(path)]


def read_tfrecord(path):
    with open(path, "rb") as file:
        return tfrecord.read(file, 0)


def signature():
    found = meta_graph_pb2.SignatureDef()
    for name, dtype in (("x", types_pb2.DT_UINT8), ("q", types_pb2.DT_STRING)):
        found.inputs[name].dtype = dtype
        found.inputs[name].tensor_shape.dim.add().size = -1
    return {"serving_default": found}


KNOWN = mock.patch.dict(registry.MODELS, one="one_layer.OneLayer")
BODY = b'{"inputs": {"x": [1, 2, 255], "q": ["a dog", {"b64": "YQ=="}]}}'
# name of the file: how it is written, read, and what its reader may raise
READERS = {
    "run/manifest.json": (
        lambda path: whole_run(path.parent),
        read_run,
        UserError,
    ),
    "run/config.json": (
        lambda path: whole_run(path.parent),
        read_run,
        UserError,
    ),
    "records/manifest.json": (
        lambda path: small_records.write_drawn(path.parent, train=2),
        lambda path: records.read_index(path.parent, "train"),
        UserError,
    ),
    "records/train.index.csv": (
        lambda path: small_records.write_drawn(path.parent, train=2),
        lambda path: records.read_index(path.parent, "train"),
        UserError,
    ),
    "a.keras": (keras_model, read_keras_model, UserError),
    "sentence": (
        lambda path: path.write_text("a bröwn dog, to the left"),
        read_sentence,
        UserError,
    ),
    "a.flags": (
        lambda path: path.write_text("--epochs=3\n# a note\n--stages=4,5\n"),
        read_flagfile,
        (flags.Error, SystemExit),
    ),
    "a.npz": (npz, checkpoint.load, UserError),
    "b.npz": (npz, containers.read, UserError),
    "a.h5": (hdf5, containers.read, UserError),
    "a.pkl": (pickled, containers.read, UserError),
    "masks.h5": (
        masks,
        lambda path: mask_files.read_h5(path, ["instance", "reMask"]),
        (mask_files.UnreadableError, mask_files.MissingArrayError),
    ),
    "puppet_mask.mat": (
        lambda path: scipy.io.savemat(path, {"part_mask": MASKS}),
        lambda path: mask_files.read_mat(path, "part_mask"),
        (mask_files.UnreadableError, mask_files.MissingArrayError),
    ),
    "a.csv": (table, lambda p: source_files.read_rows(p, "rows"), UserError),
    "vocabulary.txt": (
        lambda path: path.write_text("a\ndog\nred\n"),
        Vocabulary.load,
        UserError,
    ),
    "config.json": (
        config,
        lambda path: run_directory.read_config(path.parent),
        UserError,
    ),
    "presence.json": (
        lambda path: Calibration(2.0, 1.0, "a test").save(path),
        Calibration.load,
        UserError,
    ),
    "a.png": (picture, lambda path: read_frames(path.parent), UserError),
    "a.jpg": (picture, lambda path: read_frames(path.parent), UserError),
    "a.webp": (picture, lambda path: read_frames(path.parent), UserError),
    "a.tif": (picture, lambda path: read_frames(path.parent), UserError),
    "a.bmp": (picture, lambda path: read_frames(path.parent), UserError),
    "a.avi": (video, read_frames, UserError),
    "record": (
        record,
        lambda path: parsing.deserialize(path.read_bytes()),
        ValueError,
    ),
    "a.tfrecord": (
        lambda path: path.write_bytes(tfrecord.frame(b"some data" * 9)),
        read_tfrecord,
        tfrecord.CorruptRecordError,
    ),
    "body": (
        lambda path: path.write_bytes(BODY),
        lambda path: tensors.read(path.read_bytes(), signature(), 100),
        ValueError,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_damage_ends_in_success_or_one_line(name, tmp_path):
    write, read, refusals = READERS[name]
    folder = tmp_path / "only"
    folder.mkdir()
    path = folder / name.split("/")[-1]
    write(path)
    read(path)  # what is whole is read
    whole = path.read_bytes()
    names = sorted(folder.iterdir())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried, said, slowest = 0, [], 0.0
    started = time.monotonic()
    for data in itertools.islice(damaged(whole, seed=len(name)), CASES):
        path.write_bytes(data)
        begun = time.monotonic()
        if begun - started > SECONDS:
            break
        try:
            read(path)
        except refusals as error:
            said.append(f"case {tried}: {error}")
        slowest = max(slowest, time.monotonic() - begun)
        tried += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{name}: {tried} cases, {len(said)} refused, slowest {slowest:.2f} s, "
        f"{grown / 1024:.0f} MiB more"
    )
    assert tried > 0
    assert [line for line in said if "\n" in line] == []
    assert slowest < patience.SECONDS
    assert grown < LARGEST_GROWTH
    assert list(tmp_path.iterdir()) == [folder]
    assert sorted(folder.iterdir()) == names
