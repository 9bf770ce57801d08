"""Videos set aside, sentences, and word vectors of a training."""

import numpy as np
import pytest
import small_records

from keras_vas.data import records, training_split
from keras_vas.data.text import word_vectors
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.runs import run as run_directory


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = small_records.write_drawn(tmp_path_factory.mktemp("r"), train=10)
    return records.read_index(folder, "train")


def test_no_video_is_on_both_sides(index):
    training, validation = training_split.set_aside_videos(index, 0.3, 0)
    assert (len(training), len(validation)) == (7, 3)
    assert set(training.keys) | set(validation.keys) == set(index.keys)
    again = training_split.set_aside_videos(index, 0.3, 0)[1]
    assert list(again.keys) == list(validation.keys)
    others = [
        set(training_split.set_aside_videos(index, 0.3, seed)[1].keys)
        for seed in range(5)
    ]
    assert len({frozenset(other) for other in others}) > 1
    assert training_split.set_aside_videos(index, 0, 0) == (index, None)
    with pytest.raises(UserError, match="leaves none to train on"):
        training_split.set_aside_videos(index, 0.99, 0)


def test_named_videos_are_set_aside(index):
    training, validation = training_split.set_aside_named(
        index, ["train-000003", "*8"]
    )
    videos = sorted(key.split("/")[1] for key in validation.keys)
    assert videos == ["train-000003", "train-000008"]
    assert set(training.keys) | set(validation.keys) == set(index.keys)
    assert len(training) == 8
    with pytest.raises(UserError, match="no training video is called bus"):
        training_split.set_aside_named(index, ["*3", "bus"])
    with pytest.raises(UserError, match="leaves none to train on"):
        training_split.set_aside_named(index, ["*"])


def test_sentences_are_those_of_the_records(index):
    expected = [
        query.text
        for record in range(len(index))
        for query in index.read(record).queries
    ]
    assert len(expected) == index.num_samples > 20
    found = training_split.sentences(index)
    assert sorted(found) == sorted(expected)


def test_word_vectors_from_both_formats(tmp_path):
    vocabulary = Vocabulary(["cat", "dog", "emu"])
    text, archive = tmp_path / "glove.txt", tmp_path / "glove.npz"
    text.write_text("dog 1 2.5\nthe 0 0\ncat -3 4e-1\n")
    np.savez(
        archive,
        words=np.array(["dog", "the", "cat"]),
        vectors=np.array([[1, 2.5], [0, 0], [-3, 0.4]], np.float32),
    )
    expected = [[0, 0], [0, 0], [-3, 0.4], [1, 2.5], [0, 0]]
    for path in (text, archive):
        vectors, missing = word_vectors.load(path, vocabulary, 2)
        np.testing.assert_allclose(vectors, expected, atol=1e-7)
        assert missing == ["emu"]
        with pytest.raises(UserError, match="embedding_dim=2"):
            word_vectors.load(path, vocabulary, 300)
    (tmp_path / "bad.txt").write_text("dog one two\n")
    for name in ("bad.txt", "none.txt"):
        with pytest.raises(UserError, match=name):
            word_vectors.load(tmp_path / name, vocabulary, 2)


def test_run_directory_recognises_itself_and_other_folders(tmp_path):
    run = tmp_path / "run"
    assert not run_directory.is_run(run)
    run.mkdir()
    left = run / ".config.keras_vas-abcdefgh.json"
    left.write_text("left over")
    assert not run_directory.is_run(run)
    (run / ".config.mine.json").write_text("mine")
    with pytest.raises(UserError, match=r"holds .config.mine.json"):
        run_directory.is_run(run)
    (run / ".config.mine.json").unlink()
    manifest = {"splits": {"train": {"samples": 3}}}
    flags = {
        "seed": 1, "cmam_stages": ["4", "5"], "data": "here",
        "frame_height": 32, "frame_width": 64,
    }  # fmt: skip
    run_directory.start(
        run,
        flags=flags,
        architecture="cstm",
        model={},
        data_manifest=manifest,
        words=["cat"],
    )
    assert run_directory.is_run(run)
    config = run_directory.read_config(run)
    run_directory.remove_leftovers(run)
    assert sorted(path.name for path in run.iterdir()) == [
        "config.json",
        "manifest.json",
        "vocabulary.txt",
    ]
    (run / "config.json").unlink()  # killed before it was written
    assert not run_directory.is_run(run)
    run_directory.write(run, config, ["cat"])
    moved = {**flags, "data": "there"}
    run_directory.check_same(
        run, flags=moved, defaults={}, data_manifest=manifest
    )
    changed = {**flags, "cmam_stages": [], "seed": 2}
    with pytest.raises(
        UserError, match=r"--cmam_stages= \(was 4,5\), --seed=2 \(was 1\)"
    ):
        run_directory.check_same(
            run, flags=changed, defaults={}, data_manifest=manifest
        )
    with pytest.raises(UserError, match="other records"):
        run_directory.check_same(
            run, flags=flags, defaults={}, data_manifest={}
        )
    newer = {**flags, "cmam_stages": [4, 5], "model": "cstm"}
    same = {"defaults": {"model": "cstm"}, "data_manifest": manifest}
    run_directory.check_same(run, flags=newer, **same)
    with pytest.raises(UserError, match=r"--model=other \(was cstm\)"):
        run_directory.check_same(run, flags={**newer, "model": "other"}, **same)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        run_directory.is_run(tmp_path / "file")
