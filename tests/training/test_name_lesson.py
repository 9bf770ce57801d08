"""What a text encoder learns from the names of a head's classes."""

import json

import numpy as np
import pytest

from keras_vas import CSTM
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.models.segmentation_model import WORD_VECTORS
from keras_vas.runs import checkpoint
from keras_vas.training import name_lesson

NAMES = [("swan", "white bird"), ("camel",), ("unheard of",), ("bus",)]
WORDS = ("a", "bird", "bus", "camel", "left", "moving", "swan", "the", "white")
CHANNELS = 128


@pytest.fixture(scope="module")
def taught():
    """A model before and after the lesson, its head and what was told."""
    vocabulary = Vocabulary(WORDS)
    model = CSTM(
        len(vocabulary),
        width=0.125,
        cmam_stages=(5,),
        coordinate_fusion="linear",
        gate="centred",
        embedding_dim=16,
    )
    random = np.random.default_rng(0)
    vectors = random.normal(size=(len(vocabulary), 16)).astype("float32")
    model.get_layer(WORD_VECTORS).set_weights([vectors])
    kernel = random.normal(size=(CHANNELS, len(NAMES))).astype("float32")
    before = checkpoint.read(variables.model_variables(model))
    told = name_lesson.teach(
        model,
        "temporal",
        kernel,
        NAMES,
        vocabulary,
        ["the swan is moving", "a bus on the left"],
        seed=0,
    )
    after = checkpoint.read(variables.model_variables(model))
    return vocabulary, model, kernel, before, after, told


def test_it_tells_apart_the_classes_whose_names_it_can_read(taught):
    *_, told = taught
    assert told == (3, 1.0)


def test_only_one_text_encoder_and_one_gate_change(taught):
    _, _, _, before, after, _ = taught
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert {key.split("/")[0] for key in changed} == {
        "temporal_text_gru",
        "temporal_text_norm",
        "temporal_cmam_5",
    }
    assert {k for k in changed if "cmam" in k} == {
        "temporal_cmam_5/gate_linear/kernel",
        "temporal_cmam_5/gate_linear/bias",
    }


@pytest.mark.parametrize(
    ("text", "class_number"),
    [("swan", 0), ("the white bird is moving", 0), ("a camel on the left", 1)],
)
def test_the_gate_is_open_where_the_head_looks(taught, text, class_number):
    """The gate of CMAM 5, found from what it does to a feature of ones."""
    vocabulary, model, kernel, *_ = taught
    import keras

    tokens = vocabulary.encode([text]).numpy()
    words = keras.Model(
        model.input["tokens"], model.get_layer("temporal_text_norm").output
    )(tokens)
    cmam = model.get_layer("temporal_cmam_5")
    ones = np.ones((1, 1, 2, 2, CHANNELS), "float32")
    modulated = np.asarray(cmam(ones, np.tanh(words), tokens != 0))
    gate = modulated[0, 0, 0, 0] - 1
    assert abs(gate).max() <= 0.5
    centred = kernel - kernel.mean(1, keepdims=True)
    likeness = [
        np.corrcoef(gate, centred[:, c])[0, 1] for c in range(len(NAMES))
    ]
    assert np.argmax(likeness) == class_number
    assert likeness[class_number] > 0.5


def test_names_are_read_from_lines_and_from_keras(tmp_path):
    lines = tmp_path / "names.txt"
    lines.write_text("tench, Tinca tinca\ngoldfish\n")
    expected = [("tench", "Tinca tinca"), ("goldfish",)]
    assert name_lesson.read_names(lines, 2) == expected
    index = tmp_path / "imagenet_class_index.json"
    index.write_text(
        json.dumps({"1": ["n2", "great_white_shark"], "0": ["n1", "tench"]})
    )
    expected = [("tench",), ("great white shark",)]
    assert name_lesson.read_names(index, 2) == expected


def test_names_of_another_head_are_refused(tmp_path):
    lines = tmp_path / "names.txt"
    lines.write_text("tench\n")
    with pytest.raises(UserError, match="names 1 classes"):
        name_lesson.read_names(lines, 2)
    with pytest.raises(UserError, match="cannot read the class names"):
        name_lesson.read_names(tmp_path / "nothing.txt", 2)
    broken = tmp_path / "index.json"
    broken.write_text("{")
    with pytest.raises(UserError, match="no class index"):
        name_lesson.read_names(broken, 2)


def test_names_that_nobody_can_read_are_an_error(taught):
    vocabulary, model, kernel, *_ = taught
    with pytest.raises(UserError, match="no class has a name of known words"):
        name_lesson.teach(
            model, "temporal", kernel, [("zebra",)] * 4, vocabulary, ["a"], 0
        )
