"""What a text encoder learns from the names of a head's classes."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_vas import CSTM
from keras_vas.data.text import class_words
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models import variables
from keras_vas.models.segmentation_model import WORD_VECTORS
from keras_vas.runs import checkpoint
from keras_vas.training import name_lesson, taught_names

NAMES = [("swan", "white bird"), ("camel",), ("unheard of",), ("bus",)]
WORDS = ("a", "bird", "bus", "camel", "left", "moving", "swan", "the", "white")
SENTENCES = ["the swan is moving", "a bus on the left"]
CHANNELS = 128


def lesson_of(model, kernel, names, vocabulary):
    return name_lesson.NameLesson(
        model,
        "temporal",
        name_lesson.directions(kernel),
        names,
        taught_names.Sentences(names, vocabulary, SENTENCES, nouns=False),
        seed=0,
    )


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
    names = taught_names.of_classes(NAMES, vocabulary)
    told = lesson_of(model, kernel, names, vocabulary).teach()
    after = checkpoint.read(variables.model_variables(model))
    return vocabulary, model, kernel, before, after, told


def test_it_tells_apart_the_classes_whose_names_it_can_read(taught):
    *_, told = taught
    assert told == 1.0


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
    assert taught_names.read_names(lines, 2) == expected
    index = tmp_path / "imagenet_class_index.json"
    index.write_text(
        json.dumps({"1": ["n2", "great_white_shark"], "0": ["n1", "tench"]})
    )
    expected = [("tench",), ("great white shark",)]
    assert taught_names.read_names(index, 2) == expected


def test_names_of_another_head_are_refused(tmp_path):
    lines = tmp_path / "names.txt"
    lines.write_text("tench\n")
    with pytest.raises(UserError, match="names 1 classes"):
        taught_names.read_names(lines, 2)
    with pytest.raises(UserError, match="cannot read the class names"):
        taught_names.read_names(tmp_path / "nothing.txt", 2)
    broken = tmp_path / "index.json"
    broken.write_text("{")
    with pytest.raises(UserError, match="no class index"):
        taught_names.read_names(broken, 2)


def test_names_that_nobody_can_read_are_an_error(taught):
    vocabulary = taught[0]
    with pytest.raises(UserError, match="no class has a name of known words"):
        taught_names.of_classes([("zebra",)] * 4, vocabulary)


def meanings(names, vocabulary):
    """Dict of each name to a dict of its classes to weights."""
    words = ("", "", *vocabulary.words)
    return {
        " ".join(words[x] for x in tokens): {
            int(c): pytest.approx(float(w), abs=1e-6)
            for c, w in zip(classes, weights, strict=True)
            if w
        }
        for tokens, classes, weights in zip(
            names.tokens, names.classes, names.weights, strict=True
        )
    }


def test_a_name_of_two_classes_means_both():
    vocabulary = Vocabulary(("crane", "bird"))
    names = taught_names.of_classes([("crane", "bird"), ("crane",)], vocabulary)
    assert meanings(names, vocabulary) == {
        "crane": {0: 0.5, 1: 0.5},
        "bird": {0: 1.0},
    }


def test_verbs_and_nouns_of_actions_mean_all_their_classes():
    vocabulary = Vocabulary(
        "a baking cake cricket dancing guitar play playing plays the".split()
    )
    names = taught_names.of_classes(
        [
            ("playing cricket",),
            ("playing guitar",),
            ("dancing",),
            ("baking a cake",),
        ],
        vocabulary,
        actions=True,
    )
    found = meanings(names, vocabulary)
    for verb in ("play", "playing", "plays"):
        assert found[verb] == {0: 0.5, 1: 0.5}
    assert found["cricket"] == found["playing cricket"] == {0: 1.0}
    assert found["baking"] == found["cake"] == {3: 1.0}
    assert found.keys() & {"a", "the"} == set()


def test_every_noun_of_known_words_is_taught():
    words = "a bus dogs dog fire guitar engine engines man men on red zqx"
    vocabulary = Vocabulary(tuple(words.split()))
    found = meanings(taught_names.of_nouns(vocabulary), vocabulary)
    known = {"bus", "dog", "dogs", "fire engine", "fire engines", "man"}
    assert known <= set(found)
    assert not set(found) & {"a", "on", "red", "zqx"}
    assert found["men"] == found["man"] == {class_words.PERSON: 1.0}
    table = class_words.ClassWords()
    for noun in ("dogs", "fire engines"):
        expected = table.weights(noun)
        assert found[noun] == {
            c: float(expected[c]) for c in expected.nonzero()[0].tolist()
        }
    with pytest.raises(UserError, match="no noun of the vocabulary"):
        taught_names.of_nouns(Vocabulary(("a", "on")))


def test_sentences_are_about_their_head_noun():
    vocabulary = Vocabulary(tuple("a bus dog horse man on riding".split()))
    names = taught_names.of_nouns(vocabulary)
    sentences = taught_names.Sentences(
        names, vocabulary, ["a man on a horse", "a dog riding"], nouns=True
    )
    random = np.random.default_rng(0)
    table = class_words.shipped()
    words = ("", "", *vocabulary.words)
    real = another = 0
    for _ in range(300):
        tokens, number = sentences.draw(random)
        text = [words[x] for x in tokens[tokens != 0]]
        _, last = table.head_noun(text)
        assert names.tokens[number][-1] == vocabulary.id_of(text[last - 1])
        real += text == ["a", "man", "on", "a", "horse"]
        another += sum(table.role(x) == class_words.NOUN for x in text) > 1
    assert real > 20
    assert another > real + 20


def test_the_loss_is_that_of_the_equations(taught):
    vocabulary, model, kernel, *_ = taught
    names = taught_names.TaughtNames(
        [(2,), (3,)],
        np.array([[0, 2], [1, 0]], np.int32),
        np.array([[0.75, 0.25], [1.0, 0.0]], np.float32),
    )
    lesson = lesson_of(model, kernel, names, vocabulary)
    gate = np.random.default_rng(5).normal(size=(2, CHANNELS)) / 9
    found = lesson.loss(gate, names.classes, names.weights)
    centred = kernel - kernel.mean(1, keepdims=True)
    centred = centred - centred.mean(0)
    logits = 6 * gate @ (centred / np.sqrt((centred**2).sum(0)))
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = np.array([[0.75, 0, 0.25, 0], [0, 1, 0, 0]])
    expected = -(targets * np.log(share)).sum(1) + 0.2 * (gate**2).mean(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_loss_of_a_step_depends_on_the_step_alone(taught):
    vocabulary, model, kernel, *_ = taught
    names = taught_names.of_classes(NAMES, vocabulary)
    steps = [tf.constant(x, tf.int64) for x in (3, 4, 3)]
    lesson = lesson_of(model, kernel, names, vocabulary)
    one, other, again = (float(lesson.loss_of_step(x)) for x in steps)
    assert one == again != other
    fresh = lesson_of(model, kernel, names, vocabulary)
    assert float(tf.function(fresh.loss_of_step)(steps[0])) == pytest.approx(
        one, rel=1e-5
    )


def test_the_gradient_of_a_step_is_a_finite_difference(taught):
    vocabulary, model, kernel, *_ = taught
    names = taught_names.of_classes(NAMES, vocabulary)
    lesson = lesson_of(model, kernel, names, vocabulary)
    step = tf.constant(7, tf.int64)
    bias = model.get_layer("temporal_cmam_5").gate_linear.bias
    learnt = bias.numpy()
    bias.assign(np.random.default_rng(1).normal(size=CHANNELS))
    with tf.GradientTape() as tape:
        loss = lesson.loss_of_step(step)
    gradient = np.asarray(tape.gradient(loss, bias.value))
    direction = gradient / np.linalg.norm(gradient)
    before = bias.numpy()
    sides = []
    for sign in (1, -1):
        bias.assign(before + sign * 0.02 * direction)
        sides.append(float(lesson.loss_of_step(step)))
    bias.assign(learnt)
    slope = (sides[0] - sides[1]) / 0.04
    assert slope == pytest.approx(np.linalg.norm(gradient), rel=0.02)
    assert slope > 0.01
