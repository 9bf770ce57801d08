"""What the words of a model look like to its pretrained spatial encoder.

The head of a classifier has a weight vector for each class. The direction of a
noun is the sum of those of the classes that it may mean (`class_words`), less
what all classes share; people, whom ImageNet lacks, have the direction in
`person_directions.npz`, the mean feature of stage 5 within the outlines of
people in COCO's pictures less that outside of them
(`python -m keras_vas.weights.person_direction` makes it).
"""

import pathlib

import numpy as np

from keras_vas.data.text import class_words
from keras_vas.data.text.vocabulary import FIRST_WORD_ID
from keras_vas.errors import UserError

PERSON_DIRECTIONS = pathlib.Path(__file__).with_name("person_directions.npz")


def assign(layer, architecture, kernel, words):
    """Gives a `ClassPrior` the words of a model.

    Args:
        layer: `layers.ClassPrior`.
        architecture: name of the spatial backbone.
        kernel: float array (channels, 1000), the head's weights.
        words: list of str, the vocabulary in the order of its ids.

    Returns:
        int, how many words have a direction.

    Raises:
        UserError: the head is not ImageNet's.
    """
    if kernel is None:
        raise UserError(
            "--class_prior needs --spatial_weights with a head for the 1,000 "
            "classes of ImageNet, such as imagenet"
        )
    table = class_words.shipped()
    roles = np.zeros(layer.vocabulary_size, np.float32)
    chosen, weights = [], []
    for number, word in enumerate(words, FIRST_WORD_ID):
        roles[number] = table.role(word)
        if roles[number] == class_words.NOUN:
            chosen.append(number)
            weights.append(table.weights(word))
    # Principal axes, found in the space that the classes span.
    span, mix = np.linalg.qr(class_directions(kernel, architecture))
    directions = np.array(weights) @ mix.T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(directions.T @ directions)
    axes = axes[:, ::-1][:, : layer.rank]
    meanings = np.zeros((len(roles), layer.rank), np.float32)
    meanings[chosen, : axes.shape[1]] = directions @ axes
    base = np.zeros((layer.rank, kernel.shape[0]), np.float32)
    base[: axes.shape[1]] = (span @ axes).T
    layer.set_weights([roles, meanings, base])
    return len(chosen)


def class_directions(kernel, architecture):
    """What sets each class apart, people last.

    Args:
        kernel: float array (channels, 1000).
        architecture: name of the spatial backbone.

    Returns:
        float32 array (channels, `class_words.CLASSES`).

    Raises:
        UserError: the head is not ImageNet's, or no direction of people is
            known for the backbone.
    """
    if kernel.shape[1] != class_words.PERSON:
        raise UserError(
            "what nouns look like is said by a head for the "
            f"{class_words.PERSON:,} classes of ImageNet, but this one has "
            f"{kernel.shape[1]}; give --spatial_weights=imagenet"
        )
    classes = kernel - kernel.mean(axis=1, keepdims=True)
    classes = classes - classes.mean(axis=0, keepdims=True)
    with np.load(PERSON_DIRECTIONS) as known:
        if architecture not in known:
            raise UserError(
                f"no direction of people is known for {architecture}; make "
                "one with python -m keras_vas.weights.person_direction"
            )
        person = known[architecture].astype(np.float32)
    length = np.linalg.norm(classes, axis=0).mean()
    person *= length / np.linalg.norm(person)
    return np.concatenate([classes, person[:, None]], axis=1)
