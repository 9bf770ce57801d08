"""A first lesson in words: which channels the name of a class means.

A pretrained backbone comes with a head that tells hundreds of classes apart,
and the classes have names. With W_c the head's weights for class c (one for
each channel of stage 5, less their mean over classes and channels) and s_c a
sentence with the name of c, the gate that s_c opens should point along W_c:

    g(s)  = sigmoid(Linear(mean of the words' features)) - 1/2
    loss  = cross-entropy(softmax_k(6 g(s_c) . W_k / |W_k|), c)
            + 0.2 mean(g(s_c)^2)

g is the gate of CMAM 5 while every word weighs the same. Sentences about a
few dozen actors cannot say what a swan looks like; a head that knows swans
and word vectors that have "swan" near "goose" can. To tie word vectors to the
weights of a classifier is the idea of Frome et al., "DeViSE", NIPS 2013.
"""

import json
import pathlib

import keras
import numpy as np

from keras_vas.data.text.vocabulary import (
    FIRST_WORD_ID,
    MAX_WORDS,
    PADDING_ID,
    UNKNOWN_ID,
)
from keras_vas.errors import UserError

_STEPS = 900
_BATCH = 64
_SHARPNESS = 6.0
_RESTRAINT = 0.2
_NOISE = 0.15  # standard deviation added to the word vectors
_MOST_BEFORE, _MOST_AFTER = 2, 4


def read_names(path, classes):
    """Reads the names of a head's classes.

    Args:
        path: a text file with one class on each line, in the head's order,
            several names of one class separated by commas; or the
            `imagenet_class_index.json` of keras.applications.
        classes: int, how many the head has.

    Returns:
        List of tuples of names.

    Raises:
        UserError: there is no such file, or it names another number of
            classes.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the class names {path}: {error}"
        ) from error
    lines = text.splitlines()
    if pathlib.Path(path).suffix == ".json":
        lines = _lines_of_index(text, path)
    if len(lines) != classes:
        raise UserError(
            f"{path} names {len(lines)} classes, but the pretrained head has "
            f"{classes}; the names must be those of its classes, in its order"
        )
    return [
        tuple(name.strip() for name in line.split(",") if name.strip())
        for line in lines
    ]


def teach(model, encoder, kernel, names, vocabulary, sentences, seed):
    """Teaches a text encoder and the gate of stage 5 the names of classes.

    Args:
        model: `SegmentationModel` with a gate and its word vectors in place.
        encoder: `"spatial"` or `"temporal"`.
        kernel: the head's weights, `(channels, classes)`.
        names: list of tuples of names, one of each class.
        vocabulary: the model's `Vocabulary`.
        sentences: list of str, whose words stand around the names.
        seed: int.

    Returns:
        `(known, right)`: how many classes have a name of known words, and
        the share of these whose bare name opens the gate most like their own.

    Raises:
        UserError: no name is made of known words.
    """
    tokens = [_token_lists(of_class, vocabulary) for of_class in names]
    known = [c for c, lists in enumerate(tokens) if lists]
    if not known:
        raise UserError(
            "no class has a name of known words; give a --vocabulary with "
            "more words"
        )
    tokens = [tokens[c] for c in known]
    directions = _directions(kernel)[:, known]
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(known), _STEPS * _BATCH)
    fillers = _fillers(tokens, vocabulary, sentences)
    sentences = np.stack(
        [_sentence(tokens[c], fillers, random) for c in labels]
    )
    lesson = _lesson(model, encoder, directions)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, _STEPS, warmup_target=2e-3, warmup_steps=_STEPS // 9
    )
    lesson.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.02, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    lesson.fit(sentences, labels, batch_size=_BATCH, shuffle=False, verbose=0)
    bare = np.stack([_padded(lists[0]) for lists in tokens])
    found = lesson.predict(bare, batch_size=_BATCH, verbose=0).argmax(-1)
    return len(known), float(np.mean(found == np.arange(len(known))))


def _lines_of_index(text, path):
    try:
        index = json.loads(text)
        names = [index[str(number)][1] for number in range(len(index))]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path} is no class index of keras.applications: {error}"
        ) from error
    return [name.replace("_", " ") for name in names]


def _token_lists(names, vocabulary):
    """The names of a class as lists of ids, without those of unknown words."""
    lists = [ids[ids != PADDING_ID] for ids in vocabulary.encode(names).numpy()]
    return [ids for ids in lists if UNKNOWN_ID not in ids]


def _directions(kernel):
    """What sets each class apart, `(channels, classes)` of length 1."""
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=0, keepdims=True)
    return centred / np.linalg.norm(centred, axis=0)


def _fillers(tokens, vocabulary, sentences):
    """Ids of the sentences' words that are part of no name."""
    words = set(np.unique(vocabulary.encode(sentences).numpy()))
    for lists in tokens:
        words.difference_update(*map(set, lists))
    return sorted(word for word in words if word >= FIRST_WORD_ID)


def _sentence(names, fillers, random):
    """One of a class's names with random words before and after it."""
    around = [()] * 2
    if fillers:
        around = [
            random.choice(fillers, random.integers(most + 1))
            for most in (_MOST_BEFORE, _MOST_AFTER)
        ]
    name = names[random.integers(len(names))]
    return _padded(np.concatenate([around[0], name, around[1]]))


def _padded(ids):
    row = np.full(MAX_WORDS, PADDING_ID, np.int32)
    row[: len(ids)] = ids[:MAX_WORDS]
    return row


def _lesson(model, encoder, directions):
    """Sentences to the classes' logits, made of the model's own layers."""
    tokens_to_gate = model.sentence_gate(encoder, MAX_WORDS, _NOISE)
    channels, classes = directions.shape
    gate = keras.layers.ActivityRegularization(l2=_RESTRAINT / channels)(
        tokens_to_gate.output
    )
    head = keras.layers.Dense(classes, use_bias=False, trainable=False)
    logits = head(gate)
    head.set_weights([_SHARPNESS * directions])
    return keras.Model(tokens_to_gate.input, logits)
