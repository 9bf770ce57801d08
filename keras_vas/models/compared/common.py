"""What the compared systems share: words, clip feature, up-sampling, heads."""

import keras
from keras import ops

from keras_vas.backbones import TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.layers.coordinates import Coordinates
from keras_vas.models.segmentation_model import WORD_VECTORS, SegmentationModel

# Layers of I3D by the beginnings of their names, up to Mixed_4e.
BELOW_MIXED_4B = ("Conv3d_", "Mixed_3")
BELOW_MIXED_4F = (
    *BELOW_MIXED_4B, "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e"
)  # fmt: skip


def parts(encoder, frozen, backbones=("backbone",)):
    """`SegmentationModel.parts` of a system with one encoder.

    Args:
        encoder: `"spatial"` or `"temporal"`.
        frozen: beginnings of the names of the backbone's layers that the
            system's authors left as they were.
        backbones: names of the backbones, behind `{encoder}_`.
    """
    names = tuple(f"{encoder}_{name}" for name in backbones)
    return {
        "none": (),
        encoder: (f"{encoder}_",),
        f"{encoder}_backbone": (f"{encoder}_backbone",),
        "backbones": names,
        "backbones_but_last": tuple(
            f"{name}_{layer}" for name in names for layer in frozen
        ),
        "encoders": (f"{encoder}_", WORD_VECTORS),
    }


def inputs(num_frames):
    """Dict of the inputs of a `SegmentationModel`."""
    return {
        "frames": keras.Input((num_frames, None, None, 3), name="frames"),
        "tokens": keras.Input((None,), dtype="int32", name="tokens"),
    }


def word_vectors(tokens, vocabulary_size, channels, trainable):
    """Word vectors `(batch, words, channels)`, zeros at padding, and mask."""
    mask = ops.not_equal(tokens, 0)
    vectors = keras.layers.Embedding(
        vocabulary_size, channels, trainable=trainable, name=WORD_VECTORS
    )(tokens)
    return vectors * ops.cast(mask, vectors.dtype)[..., None], mask


@keras.saving.register_keras_serializable("keras_vas")
class LargestWord(keras.layers.Layer):
    """Maximum over the words of a sentence; zeros for one without words.

    Call arguments:
        words: `(batch, words, channels)`.
        word_mask: bool `(batch, words)`, False at padding, left out.

    Output shape:
        `(batch, channels)`.
    """

    def call(self, words, word_mask):
        present = word_mask[..., None]
        lowest = ops.cast(-1e30, words.dtype)
        largest = ops.max(ops.where(present, words, lowest), axis=1)
        some = ops.any(present, axis=1)
        return ops.where(some, largest, ops.zeros_like(largest))

    def compute_mask(self, words, previous_mask):
        """No mask: there are no words any more."""
        return None

    def compute_output_shape(self, words_shape, word_mask_shape=None):
        return (words_shape[0], words_shape[-1])


def clip_feature(clip, backbone, name, synchronized=False):
    """The feature of a clip at stride 16, before it loses its time axis.

    Args:
        clip: frames of any values, `(batch, time, height, width, channels)`.
        backbone: `(name of a temporal backbone, width)`.
        name: of the backbone's layers.
        synchronized: batch statistics over all replicas.

    Returns:
        `(batch, time / 4, height / 16, width / 16, 832 width)`; with I3D the
        output of Mixed_4f.
    """
    architecture, width = backbone
    network = TEMPORAL_BACKBONES[architecture](width, name, synchronized)
    x = network.preprocess(clip) if clip.shape[-1] == 3 else clip
    for stage in (1, 2, 3, 4):
        x = network.stage(stage, x)
    return x


def mean_of_frames(x, name):
    """Mean over time, then L2 normalization of each cell."""
    return keras.layers.UnitNormalization(name=f"{name}_normalization")(
        ops.mean(x, axis=1)
    )


def located(tensors, name):
    """Concatenates maps of one size and the coordinates of their cells."""
    where = Coordinates(name=f"{name}_coordinates")(tensors[0])
    return keras.layers.Concatenate(name=f"{name}_concat")([*tensors, where])


def up4(x, channels, name, activation=None):
    """Four times the size: transposed 8x8 with stride 4, then 3x3."""
    x = keras.layers.Conv2DTranspose(
        channels,
        8,
        strides=4,
        padding="same",
        activation=activation,
        name=f"{name}_transposed",
    )(x)
    return conv3(x, channels, f"{name}_conv", activation)


def conv3(x, channels, name, activation="relu"):
    """A 3x3 convolution of the same size."""
    return keras.layers.Conv2D(
        channels, 3, padding="same", activation=activation, name=name
    )(x)


def bilinear(x, factor, name):
    """Bilinear up-sampling by an integer factor."""
    return keras.layers.UpSampling2D(
        factor, interpolation="bilinear", name=name
    )(x)


def response_head(x, channels, width, name):
    """Two 3x3 convolutions and one number a cell."""
    for number in (1, 2):
        x = conv3(x, scaled(channels, width), f"{name}_conv_{number}")
    return keras.layers.Conv2D(1, 1, name=f"{name}_logits")(x)


def logits(x, stage=None):
    """An output: float32, named `mask_logits` or `mask_logits_p{stage}`.

    Returns:
        Dict of the name to the tensor, `(batch, height, width, 1)`.
    """
    name = "mask_logits" if stage is None else f"mask_logits_p{stage}"
    layer = keras.layers.Activation("linear", dtype="float32", name=name)
    return {name: layer(x)}


class ComparedModel(SegmentationModel):
    """A system whose heads beside the mask are for training alone."""

    programs_set = ("vocabulary_size", "name", "synchronized")
    inference = {"deep_supervision": False, "synchronized": False}
