"""CMAMs beside the backbones, and the prior that the decoder sees."""

import numpy as np
import pytest

from keras_vas.models import sentence_split
from keras_vas.models.cstm.cstm import CSTM

SMALL = {
    "vocabulary_size": 9,
    "spatial_backbone": "resnet50",
    "coordinate_fusion": "linear",
    "width": 0.0625,
    "decoder_channels": 128,
    "embedding_dim": 8,
}


def _inputs(tokens):
    frames = np.random.default_rng(1).uniform(0, 255, (1, 8, 32, 64, 3))
    return {
        "frames": np.repeat(frames, len(tokens), axis=0).astype("float32"),
        "tokens": np.array(tokens, "int32"),
    }


@pytest.mark.parametrize(
    ("modulation", "whole"), [("beside", True), ("through", False)]
)
def test_beside_them_backbones_need_no_sentence(modulation, whole):
    model = CSTM(modulation=modulation, cmam_stages=(1, 2), **SMALL)
    clip, _ = sentence_split.split(model)
    needless = {layer.name for layer in clip.layers}
    backbones = {x.name for x in model.layers_of("backbones")}
    assert backbones
    assert (backbones <= needless) == whole


def test_the_decoder_sees_the_prior():
    model = CSTM(modulation="beside", class_prior=True, **SMALL)
    layer = model.get_layer("class_prior")
    assert not layer.trainable_weights
    inputs = _inputs([[2, 3, 0], [4, 3, 0]])
    before = np.array(model(inputs)["mask_logits"])
    roles, meanings, directions = layer.get_weights()
    random = np.random.default_rng(2)
    roles[2], meanings[2] = 1, random.normal(size=meanings.shape[1])
    layer.set_weights([roles, meanings, random.normal(size=directions.shape)])
    after = np.array(model(inputs)["mask_logits"])
    assert np.abs(after[0] - before[0]).max() > 1e-4
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)


def test_a_prior_needs_the_spatial_encoder():
    with pytest.raises(ValueError, match="class_prior needs the spatial"):
        CSTM(encoders="temporal", class_prior=True, **SMALL)
    with pytest.raises(ValueError, match="modulation must be one of"):
        CSTM(modulation="no", **SMALL)
