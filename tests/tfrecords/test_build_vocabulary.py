"""build_vocabulary.py, and train.py with what it has made."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import small_records

from keras_vas.data import records
from keras_vas.data.text import word_vectors
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory

VECTOR_WORDS = [
    "the", "a", "of", "'s", "The", "zebra", "left", "circle", "square",
    "quagga",
]  # fmt: skip


@pytest.fixture(scope="module")
def program(repository):
    sys.path.insert(0, str(repository / "tfrecords"))
    import build_vocabulary

    yield build_vocabulary
    sys.path.remove(str(repository / "tfrecords"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A GloVe text file of 4-d vectors: row i holds i + 0, 1, 2, 3."""
    path = tmp_path_factory.mktemp("vectors") / "glove.txt"
    path.write_text(
        "".join(
            f"{word} {i} {i + 1} {i + 2} {i + 3}\n"
            for i, word in enumerate(VECTOR_WORDS)
        )
    )
    return path


def test_nouns_whose_look_is_known_come_from_further_down(program, vectors):
    """The file has: the a of zebra left circle square quagga."""
    result = program.build(["the thing"], vectors, top=4, nouns=8)
    chosen = set(result.vocabulary.words)
    assert chosen == {"the", "thing", *"a of zebra circle quagga".split()}
    assert result.vectors["zebra"].tolist() == [5, 6, 7, 8]
    more = program.build([], vectors, nouns=8).vocabulary.words
    assert list(more) == ["zebra", "circle", "quagga"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_records.write_drawn(
        tmp_path_factory.mktemp("records"), train=8, test=3
    )


def run(repository, name, *options):
    return subprocess.run(
        [sys.executable, str(repository / name), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_words_of_sentences_then_frequent_ones_then_opposites(program, vectors):
    result = program.build(["A zebra, a dog", "a DOG"], vectors, top=4)
    # top 4: the, a, of, zebra ("'s" and "The" are no words of a sentence)
    assert result.vocabulary.words == ("a", "dog", ",", "zebra", "the", "of")
    assert result.not_covered == ["dog", ","]
    assert result.counts == {"a": 3, "dog": 2, ",": 1, "zebra": 1}
    assert {w: int(v[0]) for w, v in result.vectors.items()} == {
        "a": 1, "zebra": 5, "the": 0, "of": 2,
    }  # fmt: skip
    assert program.report(result, 2) == [
        "2 sentences hold 4 different words, 7 in all",
        "with a vector: 2 of them (50.0%), 57.14% of the words as they occur",
        "not covered (2): dog, ,",
        "vectors of 4 numbers for 4 words",
        "vocabulary of 6 words",
    ]
    more = program.build([], vectors, top=5)
    assert more.vocabulary.words == ("the", "a", "of", "zebra", "left", "right")
    assert "right" not in more.vectors
    assert more.not_covered == []


def test_sentences_come_from_all_splits_and_from_text_files(
    program, data, tmp_path
):
    path = tmp_path / "sentences.txt"
    path.write_text("one line\n\n  \nand another\n")
    texts = program.read_sentences([data], [path])
    expected = [
        query.text
        for split in ("train", "test")
        for index in [records.read_index(data, split)]
        for record in range(len(index))
        for query in index.read(record).queries
    ]
    assert len(expected) > 11
    assert sorted(texts[:-2]) == sorted(expected)
    assert texts[-2:] == ["one line", "and another"]


def test_the_program_writes_what_train_reads(
    repository, program, data, vectors, tmp_path
):
    output, workdir = tmp_path / "words", tmp_path / "run"
    result = run(
        repository,
        "tfrecords/build_vocabulary.py",
        f"--data={data}",
        f"--word_vectors={vectors}",
        "--top=9",
        f"--output={output}",
    )
    assert result.returncode == 0, result.stderr
    assert "vectors of 4 numbers" in result.stdout
    words = Vocabulary.load(output / "vocabulary.txt").words
    assert {"quagga", "zebra", "the"} <= set(words)
    not_covered = (output / "not_covered.txt").read_text().splitlines()
    counts = [int(line.split("\t")[1]) for line in not_covered]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= 1

    flags = [
        f"--data={data}", f"--workdir={workdir}",
        f"--vocabulary={output / 'vocabulary.txt'}",
        f"--word_vectors={output / 'word_vectors.npz'}",
        "--embedding_dim=4", "--encoders=temporal", "--width=0.0625",
        "--decoder_channels=16", "--cmam_stages=5", "--nodeep_supervision",
        "--coordinate_fusion=linear", "--frame_height=32", "--frame_width=32",
        "--epochs=1", "--batch_size=8", "--notensorboard",
        "--validation_fraction=0",
    ]  # fmt: skip
    trained = run(repository, "train.py", *flags)
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert run_directory.load_vocabulary(workdir).words == words
    arrays, _ = checkpoint.load(run_directory.best_path(workdir))
    embedding = arrays["word_embedding/embeddings"]
    for word in ("quagga", "zebra", "the"):
        np.testing.assert_array_equal(
            embedding[2 + words.index(word)],
            VECTOR_WORDS.index(word) + np.arange(4),
        )
    np.testing.assert_array_equal(embedding[:2], 0)


def test_train_refuses_words_that_would_keep_random_vectors(
    repository, data, tmp_path
):
    words = tmp_path / "vocabulary.txt"
    words.write_text("quagga\nzebra\n")
    result = run(
        repository,
        "train.py",
        f"--data={data}",
        f"--workdir={tmp_path / 'run'}",
        f"--vocabulary={words}",
    )
    assert result.returncode == 1
    assert "2 words of" in result.stderr
    assert "give --word_vectors" in result.stderr
    assert not (tmp_path / "run").exists()


def test_files_of_an_earlier_run_are_kept_unless_told(
    program, vectors, tmp_path
):
    first = program.build(["a zebra"], vectors)
    program.write(tmp_path, first)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert sorted(before) == sorted(program.NAMES)
    second = program.build(["a square"])
    with pytest.raises(UserError, match="--overwrite"):
        program.write(tmp_path, second)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    program.write(tmp_path, second, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.txt"]
    assert Vocabulary.load(tmp_path / "vocabulary.txt").words == ("a", "square")


def test_what_is_missing_is_named(program, vectors, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin1.txt").write_bytes(b"d\xf6g\n")
    for name in ("empty.txt", "latin1.txt"):
        with pytest.raises(UserError, match=name):
            program.read_sentences([], [tmp_path / name])
    with pytest.raises(UserError, match="no folder"):
        program.read_sentences([tmp_path / "none"], [])
    with pytest.raises(UserError, match="no words"):
        program.build([])
    with pytest.raises(UserError, match="none of the 1 words"):
        program.build(["emu"], vectors)


def test_a2d_sentences_with_real_vectors(program, shared_dir):
    text = shared_dir / "text"
    with open(text / "a2d_annotation.txt", newline="") as file:
        texts = [row["query"] for row in csv.DictReader(file)]
    path = text / "glove6B_50d_top20k_plus_vocab.npz"
    result = program.build(texts, path, top=5000)
    spoken = [word for word in result.counts if word.isalnum()]
    assert len(spoken) == 1310
    assert set(result.counts) - set(spoken) == {"'"}
    assert 0.98 < len(set(spoken) & set(result.vectors)) / 1310 < 1
    assert result.vocabulary.words[: len(result.counts)] == tuple(
        Vocabulary.build(texts).words[: len(result.counts)]
    )
    assert "government" not in result.counts
    cut, _ = word_vectors.cut(path, ["government"])
    np.testing.assert_array_equal(
        cut["government"], result.vectors["government"]
    )
