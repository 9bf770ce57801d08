"""Several data sets in one training."""

import collections
import functools
import os
import shutil

import numpy as np
import pytest
import small_records

from keras_vas.data import pipeline, records, training_split
from keras_vas.data.moving_actors import drawing
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError


def _convert(video_id, split, seed):
    frame = drawing.annotated_frame(
        f"{split}-{video_id.rpartition('-')[2]}",
        split,
        seed=seed,
        height=64,
        width=64,
    )
    object.__setattr__(frame, "video_id", video_id)
    return records.Conversion([frame])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve clips called many-..., and three called few-..."""
    folders = []
    for seed, (name, count) in enumerate({"many": 12, "few": 3}.items()):
        folder = tmp_path_factory.mktemp(name)
        small_records.write(
            folder,
            functools.partial(_convert, seed=seed),
            {"train": [f"{name}-{i:06d}" for i in range(count)]},
            "moving_actors",
        )
        folders.append(folder)
    return folders


def _joined(folders):
    return records.join([records.read_index(x, "train") for x in folders])


def test_joined_indices_keep_every_record(folders):
    index = _joined(folders)
    assert len(index) == 15
    read = [index.read(i).video_id for i in range(15)]
    assert sorted(x.split("-")[0] for x in read) == ["few"] * 3 + ["many"] * 12
    assert len(index.manifest["parts"]) == 2


def test_the_same_record_twice_is_the_users_error(folders):
    with pytest.raises(
        UserError,
        match=r"few.* and .*few.* have the same record",
    ):
        _joined([folders[1], folders[0], folders[1]])


def test_damage_in_any_folder_is_named(folders, tmp_path):
    index = _joined([folders[0], shutil.copytree(folders[1], tmp_path / "b")])
    assert records.corruption_error(index) is None
    with open(index.paths[13], "r+b") as file:
        file.seek(index.offsets[13] + 100)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    message = str(records.corruption_error(index))
    assert index.keys[13] in message
    assert str(tmp_path / "b") in message


@pytest.mark.parametrize("sentences_per_clip", [1, 2])
def test_an_epoch_has_of_each_its_share(folders, sentences_per_clip):
    index = _joined(folders)
    vocabulary = Vocabulary.build(training_split.sentences(index))
    dataset = pipeline.training_dataset(
        index,
        vocabulary,
        height=32,
        width=32,
        batch_size=2,
        seed=5,
        epochs=1,
        sentences_per_clip=sentences_per_clip,
        shares=pipeline.shares(index, folders, (1, 2)),
    )
    samples = np.concatenate([x["sample"] for x in dataset.as_numpy_iterator()])
    clips = samples[::sentences_per_clip]
    keys = index.keys[index.sample_records[clips]]
    counts = collections.Counter(key.split("/")[1] for key in keys)
    few = sum(n for key, n in counts.items() if key.startswith("few"))
    assert few / len(keys) == pytest.approx(2 / 3, abs=0.1)
    of_few = [n for key, n in counts.items() if key.startswith("few")]
    assert len(of_few) == 3
    if sentences_per_clip > 1:
        assert max(of_few) - min(of_few) <= 1


def test_without_weights_all_clips_are_taken_alike(folders):
    assert pipeline.shares(_joined(folders), folders, ()) == ()


def test_another_number_of_weights_is_an_error(folders):
    with pytest.raises(ValueError, match="got 3 for 2"):
        pipeline.shares(_joined(folders), folders, (1, 2, 3))
