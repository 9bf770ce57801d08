"""A model in parts gives what the whole gives, and shares what it can."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vas.models.cstm.cstm import CSTM
from keras_vas.models.sentence_split import split, split_in_three

VARIANTS = {
    "cmam everywhere": {},
    "sentence concatenated": {"cmam_stages": (4, 5), "fusion": "max"},
    "one encoder": {"encoders": "spatial", "cmam_stages": ()},
    "all outputs": {
        "encoders": "temporal",
        "attention_maps": True,
        "deep_supervision": True,
        "coordinate_fusion": "linear",
    },
}


def network(**arguments):
    """A small CSTM whose weights are all at random."""
    model = CSTM(
        vocabulary_size=30,
        width=0.0625,
        decoder_channels=128,
        text_channels=128,
        embedding_dim=8,
        **arguments,
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if "variance" not in variable.path:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


def inputs(batch=2):
    rng = np.random.default_rng(0)
    frames = rng.uniform(0, 255, (batch, 8, 32, 64, 3))
    tokens = rng.integers(1, 30, (batch, 20))
    tokens[0, 7:] = 0
    return (
        {"frames": ops.convert_to_tensor(frames, "float32")},
        {"tokens": ops.convert_to_tensor(tokens, "int32")},
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_equal_the_whole_and_have_its_variables(variant):
    model = network(**VARIANTS[variant])
    clip, text = inputs()
    whole = model({**clip, **text}, training=False)
    clip_model, sentence_model = split(model)
    two = sentence_model({**clip_model(clip), **text}, training=False)
    clip_part, text_part, joint = split_in_three(model)
    three = joint({**clip_part(clip), **text_part(text)}, training=False)
    for name, expected in whole.items():
        expected = ops.convert_to_numpy(expected)
        assert expected.std() > 1e-3
        scale = np.abs(expected).max()
        for parts in (two, three):
            difference = ops.convert_to_numpy(parts[name]) - expected
            assert np.abs(difference).max() < 2e-6 * scale
    own = {id(v) for v in model.weights}
    found = [id(v) for m in (clip_model, sentence_model) for v in m.weights]
    assert set(found) == own
    assert {id(v) for v in joint.weights} < own


def test_two_sentences_share_one_clip():
    model = network(cmam_stages=(5,))
    clip, text = inputs()
    clip_model, sentence_model = split(model)
    one = {"frames": clip["frames"][:1]}
    shared = {k: ops.repeat(v, 2, axis=0) for k, v in clip_model(one).items()}
    found = sentence_model({**shared, **text})["mask_logits"]
    twice = {"frames": ops.repeat(one["frames"], 2, axis=0), **text}
    expected = ops.convert_to_numpy(model(twice)["mask_logits"])
    found = ops.convert_to_numpy(found)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


def test_the_clip_part_has_all_stages_before_the_first_cmam():
    clip_model, sentence_model = split(network(cmam_stages=(4, 5)))
    clip_layers, sentence_layers = (
        {
            layer.name
            for layer in part.layers
            if not isinstance(layer, keras.layers.InputLayer)
        }
        for part in (clip_model, sentence_model)
    )
    for name in (
        "spatial_backbone_Mixed_6e",
        "temporal_backbone_Mixed_4f",
        "decoder_spatial_lateral_1_conv",
    ):
        assert name in clip_layers
        assert name not in sentence_layers
    for name in (
        "spatial_backbone_Mixed_7c",
        "decoder_spatial_lateral_1_sentence",
        "decoder_head_1_conv_1",
    ):
        assert name in sentence_layers
        assert name not in clip_layers


def test_a_model_with_other_inputs_is_refused():
    frames = keras.Input((8, None, None, 3), name="frames")
    model = keras.Model(frames, {"mask_logits": ops.sum(frames, axis=1)})
    with pytest.raises(ValueError, match="must have the inputs 'frames' and"):
        split(model)
