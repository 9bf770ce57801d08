"""The directions of words, against sums over classes written out."""

import cv2
import numpy as np
import pytest

from keras_vas.data.picture_clips import coco
from keras_vas.data.text import class_words
from keras_vas.errors import UserError
from keras_vas.layers import ClassPrior
from keras_vas.weights import class_prior, person_direction

CHANNELS = 1100  # more than classes, so that nothing is lost
WORDS = ("a", "camel", "rhino", "woman", "running", "on")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    random = np.random.default_rng(4)
    person = random.normal(size=CHANNELS)
    np.savez(tmp_path / "people.npz", resnet50=person)
    monkeypatch.setattr(
        class_prior, "PERSON_DIRECTIONS", tmp_path / "people.npz"
    )
    return random.normal(size=(CHANNELS, 1000)).astype("float32")


def test_a_word_points_to_the_sum_of_its_classes(kernel):
    layer = ClassPrior(len(WORDS) + 2, 256)
    layer.build((None, 2, 2, CHANNELS), (None, 3))
    assert class_prior.assign(layer, "resnet50", kernel, WORDS) == 3
    roles, meanings, directions = layer.get_weights()
    skip, noun, stop = class_words.SKIP, class_words.NOUN, class_words.STOP
    assert roles.tolist() == [0, 0, skip, noun, noun, noun, stop, stop]
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0, keepdims=True)
    rhino = sum(
        weight * centred[:, number]
        for number, weight in enumerate(
            class_words.shipped().weights("rhino")[:1000]
        )
    )
    found = meanings[4] @ directions
    np.testing.assert_allclose(found, rhino / np.linalg.norm(rhino), atol=1e-4)
    with np.load(class_prior.PERSON_DIRECTIONS) as known:
        person = known["resnet50"]
    found = meanings[5] @ directions
    cosine = found @ person / np.linalg.norm(person)
    assert cosine == pytest.approx(1, abs=1e-4)
    assert not meanings[[0, 1, 2, 6, 7]].any()


@pytest.mark.parametrize("classes", [400, None])
def test_another_head_is_the_users_error(kernel, classes):
    layer = ClassPrior(len(WORDS) + 2, 16)
    layer.build((None, 2, 2, CHANNELS), (None, 3))
    head = None if classes is None else kernel[:, :classes]
    with pytest.raises(UserError, match="1,000 classes of ImageNet"):
        class_prior.assign(layer, "resnet50", head, WORDS)


def test_another_backbone_is_the_users_error(kernel):
    with pytest.raises(UserError, match="no direction of people is known for"):
        class_prior.class_directions(kernel, "inception_v3")


def test_the_shipped_direction_fits_resnet50():
    with np.load(class_prior.PERSON_DIRECTIONS) as known:
        assert known["resnet50"].shape == (2048,)
        assert np.isfinite(known["resnet50"]).all()


def test_the_direction_of_people_is_what_sets_them_apart(tmp_path):
    image = np.zeros((192, 320, 3), np.uint8)
    image[:, :160] = (200, 10, 30)  # people on the left are red
    image[:, 160:] = (20, 10, 90)
    cv2.imwrite(str(tmp_path / "1.png"), image[..., ::-1])
    left = np.array([[0, 0], [158, 0], [158, 191], [0, 191]], float)
    picture = coco.Picture(
        id=1, path=str(tmp_path / "1.png"), height=192, width=320,
        complete=True, unoutlined=frozenset(),
        instances=(coco.Instance(1, "person", (left,)),),
    )  # fmt: skip

    def cells(frames):
        return frames.reshape(1, 6, 32, 10, 32, 3).mean(axis=(2, 4))

    found = person_direction.measure(cells, [picture])
    np.testing.assert_allclose(found, [180, 0, -60], atol=1)
    with pytest.raises(UserError, match="no picture shows people"):
        person_direction.measure(cells, [])
