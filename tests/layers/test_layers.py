"""CMAM, LGFS, coordinates and upsampling against the paper's equations.

The equations are written again in NumPy, word by word, from the layers' own
weights: the N x HW map of CMAM is built here and nowhere in the layer.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_vas import layers

CHANNELS, TEXT, WORDS, KEYS = 6, 7, 5, 4
SHAPES = {"2d": (3, 4, 6, CHANNELS), "3d": (3, 2, 4, 6, CHANNELS)}
LENGTHS = (5, 2, 0)


def literal_coordinates(height, width):
    result = np.zeros((height, width, 8))
    for h, w in itertools.product(range(height), range(width)):
        xmin, xmax = 2 * w / width - 1, 2 * (w + 1) / width - 1
        ymin, ymax = 2 * h / height - 1, 2 * (h + 1) / height - 1
        result[h, w] = [
            xmin,
            ymin,
            xmax,
            ymax,
            (xmin + xmax) / 2,
            (ymin + ymax) / 2,
            1 / width,
            1 / height,
        ]
    return result


def literal_cmam(cmam, visual, words, lengths):
    """Equations 1 to 6 with tensors, so that gradients flow; returns V~, A."""
    positions = np.prod(visual.shape[1:-1])
    coordinates = np.broadcast_to(
        literal_coordinates(*visual.shape[-3:-1]), (*visual.shape[:-1], 8)
    ).astype("float32")
    fused = located = ops.concatenate([visual, coordinates], axis=-1)
    if cmam.coordinate_fusion == "conv":
        fused = ops.conv(located, cmam.fusion_conv.kernel, padding="same")
        bn = cmam.fusion_bn
        fused = (fused - bn.moving_mean) / ops.sqrt(
            bn.moving_variance + bn.epsilon
        ) * bn.gamma + bn.beta
        fused = ops.relu(fused)
    results, maps = [], []
    for sample, length in enumerate(lengths):
        feature = ops.reshape(fused[sample], (positions, -1))
        keys = ops.matmul(feature, cmam.key.kernel) + cmam.key.bias
        queries = ops.matmul(words[sample], cmam.query.kernel) + cmam.query.bias
        attention = ops.matmul(queries, ops.transpose(keys))
        maps.append(attention)
        sentence = ops.zeros((TEXT,))
        if length:
            omega = ops.sum(attention[:length], axis=1)
            omega = omega / ops.sqrt(ops.sum(omega**2))
            weights = ops.softmax(omega)
            sentence = ops.sum(
                weights[:, None] * words[sample, :length], axis=0
            )
        gate = ops.sigmoid(
            ops.matmul(sentence[None], cmam.gate_linear.kernel)[0]
            + cmam.gate_linear.bias
        )
        if cmam.gate == "residual":
            results.append(visual[sample] + visual[sample] * gate)
        else:
            modulated = fused if cmam.coordinate_fusion == "conv" else visual
            results.append(visual[sample] + modulated[sample] * (gate - 0.5))
    shape = (len(lengths), words.shape[1], *visual.shape[1:-1])
    return ops.stack(results), ops.reshape(ops.stack(maps), shape)


def randomize(layer, seed=0):
    """Random weights of a realistic size; variances stay positive."""
    generator = np.random.default_rng(seed)
    for variable in layer.variables:
        value = generator.normal(0, 0.5, variable.shape)
        if "variance" in variable.path:
            value = np.abs(value) + 0.5
        variable.assign(value)


@pytest.fixture
def inputs():
    def make(rank):
        generator = np.random.default_rng(1)
        visual = generator.normal(size=SHAPES[rank]).astype("float32")
        words = generator.normal(size=(3, WORDS, TEXT)).astype("float32")
        mask = np.arange(WORDS)[None] < np.array(LENGTHS)[:, None]
        return visual, words, mask

    return make


CMAM_FORMS = list(
    itertools.product(
        SHAPES, ("conv", "linear"), ("residual", "centred"), (False, True)
    )
)


@pytest.mark.parametrize(("rank", "fusion", "gate", "attention"), CMAM_FORMS)
def test_cmam_equals_equations_1_to_6(inputs, rank, fusion, gate, attention):
    visual, words, mask = inputs(rank)
    cmam = layers.CMAM(KEYS, fusion, gate, return_attention=attention)
    cmam.build(visual.shape, words.shape)
    randomize(cmam)
    expected, expected_map = literal_cmam(
        cmam, ops.convert_to_tensor(visual), words, LENGTHS
    )
    result = cmam(visual, words, mask)
    if attention:
        result, attended = result
        np.testing.assert_allclose(attended, expected_map, atol=1e-4)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert not np.allclose(result[0], visual[0], atol=1e-2)


@pytest.mark.parametrize(
    ("rank", "fusion", "gate"),
    itertools.product(SHAPES, ("conv", "linear"), ("residual", "centred")),
)
def test_cmam_gradients_equal_those_of_the_equations(
    inputs, rank, fusion, gate
):
    tf = pytest.importorskip("tensorflow")
    visual, words, mask = inputs(rank)
    visual, words = tf.constant(visual), tf.constant(words)
    cmam = layers.CMAM(KEYS, fusion, gate)
    cmam.build(visual.shape, words.shape)
    randomize(cmam)
    target = tf.random.stateless_normal(visual.shape, (1, 2))

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch([visual, words])
            loss = tf.reduce_sum(function() * target)
        watched = [visual, words, *(v.value for v in cmam.trainable_variables)]
        return tape.gradient(loss, watched)

    shortcut = gradients(lambda: cmam(visual, words, mask))
    literal = gradients(lambda: literal_cmam(cmam, visual, words, LENGTHS)[0])
    assert len(shortcut) == 2 + len(cmam.trainable_variables)
    for ours, theirs in zip(shortcut, literal, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(theirs))))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale)


def test_cmam_ignores_what_padding_holds(inputs):
    visual, words, mask = inputs("2d")
    cmam = layers.CMAM(KEYS)
    result = cmam(visual, words, mask)
    disturbed = np.where(mask[..., None], words, 100.0).astype("float32")
    np.testing.assert_array_equal(result, cmam(visual, disturbed, mask))


def test_centred_cmam_starts_as_the_identity(inputs):
    visual, words, mask = inputs("3d")
    result = layers.CMAM(KEYS, gate="centred")(visual, words, mask)
    np.testing.assert_array_equal(result, visual)


def test_linear_cmam_has_no_full_size_convolution():
    cmam = layers.CMAM(KEYS, "linear")
    cmam.build(SHAPES["2d"], (3, WORDS, TEXT))
    assert len(cmam.variables) == 6
    assert cmam.key.kernel.shape == (CHANNELS + 8, KEYS)


@pytest.mark.parametrize("rank", SHAPES)
def test_coordinates(rank):
    shape = SHAPES[rank]
    result = layers.Coordinates()(np.zeros(shape, "float32"))
    expected = literal_coordinates(*shape[-3:-1])
    assert result.shape == (*shape[:-1], 8)
    np.testing.assert_allclose(
        result, np.broadcast_to(expected, result.shape), atol=1e-6
    )


def test_lgfs_equals_equations_7_and_8():
    generator = np.random.default_rng(2)
    spatial, temporal = generator.normal(size=(2, *SHAPES["2d"]))
    sentence = generator.normal(size=(3, TEXT))
    lgfs = layers.LGFS()
    lgfs.build(spatial.shape, temporal.shape, sentence.shape)
    randomize(lgfs)
    g_s, g_t = (
        sentence @ np.array(linear.kernel) + np.array(linear.bias)
        for linear in (lgfs.spatial_linear, lgfs.temporal_linear)
    )
    total = np.exp(g_s) + np.exp(g_t)
    weight_s, weight_t = (
        (np.exp(g) / total)[:, None, None] for g in (g_s, g_t)
    )
    expected = spatial * weight_s + temporal * weight_t
    result = lgfs(*(x.astype("float32") for x in (spatial, temporal, sentence)))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(weight_s + weight_t, 1.0)


@pytest.mark.parametrize("size", [(4, 6), (1, 1), (2, 1)])
def test_sentence_convolution_is_that_of_a_concatenation(size):
    generator = np.random.default_rng(3)
    feature = generator.normal(size=(2, *size, CHANNELS)).astype("float32")
    sentence = generator.normal(size=(2, TEXT)).astype("float32")
    kernel = generator.normal(size=(3, 3, CHANNELS + TEXT, 5))
    kernel = kernel.astype("float32")
    everywhere = np.broadcast_to(sentence[:, None, None], (2, *size, TEXT))
    expected = ops.conv(
        np.concatenate([feature, everywhere], -1), kernel, padding="same"
    )
    convolved = ops.conv(feature, kernel[:, :, :CHANNELS], padding="same")
    layer = layers.SentenceConvolution()
    layer.build(convolved.shape, sentence.shape)
    layer.set_weights([kernel[:, :, CHANNELS:]])
    np.testing.assert_allclose(layer(convolved, sentence), expected, atol=1e-5)


def test_sentence_mean_leaves_padding_out():
    words = np.arange(24, dtype="float32").reshape(2, 3, 4)
    mask = np.array([[True, True, False], [False, False, False]])
    result = layers.SentenceMean()(words, mask)
    np.testing.assert_allclose(result[0], (words[0, 0] + words[0, 1]) / 2)
    np.testing.assert_array_equal(result[1], np.zeros(4))


def test_last_word_is_the_one_before_the_padding():
    words = np.arange(36, dtype="float32").reshape(3, 3, 4)
    mask = np.array([[True, True, False], [False] * 3, [True] * 3])
    result = layers.LastWord()(words, mask)
    np.testing.assert_array_equal(result[0], words[0, 1])
    np.testing.assert_array_equal(result[1], np.zeros(4))
    np.testing.assert_array_equal(result[2], words[2, 2])


def test_frame_scaling():
    frames = np.full((1, 32, 64, 3), 255, "uint8")
    frames[0, 0] = 0
    result = np.array(layers.FrameScaling()(frames))
    assert result.min() == -1.0
    assert result.max() == 1.0
    with pytest.raises(ValueError, match="multiples of 32"):
        layers.FrameScaling()(np.zeros((1, 32, 60, 3)))


def test_class_prior_is_the_cosine_with_the_noun():
    random = np.random.default_rng(5)
    layer = layers.ClassPrior(vocabulary_size=7, rank=2)
    visual = random.normal(size=(4, 3, 5, 6)).astype("float32")
    tokens = np.array(
        [
            [2, 3, 4, 0],  # skip noun noun: the last noun
            [5, 3, 5, 4],  # stop noun stop noun: what stands before the stop
            [2, 5, 1, 0],  # no noun
            [3, 2, 6, 0],  # noun skip noun
        ]
    )
    layer.build(visual.shape, tokens.shape)
    roles = np.array([0, 0, 0, 1, 1, 2, 1], "float32")
    meanings, directions = (
        random.normal(size=(7, 2)),
        random.normal(size=(2, 6)),
    )
    layer.set_weights([roles, meanings, directions])
    result = np.array(layer(visual, tokens))
    for row, noun in enumerate([4, 3, None, 6]):
        if noun is None:
            np.testing.assert_array_equal(result[row], 0)
            continue
        wanted = meanings[noun] @ directions
        centred = visual[row] - visual[row].mean(axis=(0, 1))
        cosine = centred @ wanted
        cosine /= np.linalg.norm(centred, axis=-1) * np.linalg.norm(wanted)
        cosine = np.maximum(cosine, 0)
        np.testing.assert_allclose(result[row, ..., 1], cosine, atol=1e-5)
        np.testing.assert_allclose(
            result[row, ..., 0], cosine / cosine.max(), atol=1e-5
        )
    assert not layer.trainable_weights


CALLS = {
    layers.CMAM: ({"key_channels": KEYS}, ("visual", "words", "mask")),
    layers.ClassPrior: (
        {"vocabulary_size": 9, "rank": 3},
        ("visual", "tokens"),
    ),
    layers.Coordinates: ({}, ("visual",)),
    layers.LastWord: ({}, ("words", "mask")),
    layers.LGFS: ({}, ("visual", "visual", "sentence")),
    layers.SentenceConvolution: ({}, ("visual", "sentence")),
    layers.SentenceMean: ({}, ("words", "mask")),
    layers.FrameScaling: ({}, ("frames",)),
}


def test_every_public_layer_is_listed_here():
    public = {
        value
        for value in vars(layers).values()
        if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    }
    assert public == set(CALLS) == set(layers.PUBLIC_LAYERS)


@pytest.mark.parametrize("layer_class", CALLS, ids=lambda c: c.__name__)
def test_layers_are_saved_loaded_and_compiled(inputs, tmp_path, layer_class):
    tf = pytest.importorskip("tensorflow")
    visual, words, mask = inputs("2d")
    arrays = {
        "visual": visual,
        "words": words,
        "mask": mask,
        "sentence": words[:, 0],
        "frames": np.full((2, 32, 64, 3), 7, "float32"),
        "tokens": np.resize([2, 3, 0, 8, 1], (len(words), 3)).astype("int32"),
    }
    arguments, names = CALLS[layer_class]
    values = [arrays[name] for name in names]
    symbolic = [
        keras.Input(value.shape[1:], dtype=str(value.dtype)) for value in values
    ]
    model = keras.Model(symbolic, layer_class(**arguments)(*symbolic))
    randomize(model)
    expected = model(values)
    assert model.output.shape[1:] == expected.shape[1:]

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(values), expected)
    layer = model.layers[-1]
    again = layer_class.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    compiled = tf.function(model, jit_compile=True)(values)
    np.testing.assert_allclose(compiled, expected, atol=1e-5)


@pytest.mark.parametrize(
    "arguments", [{"coordinate_fusion": "no"}, {"gate": "no"}]
)
def test_cmam_names_a_wrong_choice(arguments):
    with pytest.raises(ValueError, match=r"Received: .*='no'"):
        layers.CMAM(**arguments)
