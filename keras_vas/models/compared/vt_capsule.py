"""A variant of VT-Capsule: visual and textual capsules, routed together."""

import math
from typing import Literal

import keras
from keras import ops

from keras_vas.backbones.backbone import scaled
from keras_vas.backbones.i3d import I3D
from keras_vas.models.compared import common
from keras_vas.models.compared.em_routing import EMRouting
from keras_vas.models.segmentation_model import WORD_VECTORS

_FRAMES = 4
_CAPSULES = 8
_POSE = 16


class FineI3D(I3D):
    """I3D whose fourth stage stays at the size of the third, stride 8."""

    def _stage_4(self, x):
        x = self._max_pool(x, 3, (2, 1, 1), "MaxPool3d_4a_3x3")
        return self._mixed(
            x, "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"
        )


@keras.saving.register_keras_serializable("keras_vas")
class VTCapsule(common.ComparedModel):
    """A variant of McIntosh et al.'s visual-textual capsule routing.

    Neither the paper in full nor a program of it was found. Marks:
    [descendant] later programs of the lab that carry its network,
    [recalled], [open] stated nowhere that was found, [chosen].

    - Clip: four frames, of a record's those from two before the target to one
      behind it [chosen]; I3D without spatial stride before Mixed_4b
      [descendant], dropout of whole channels of its Mixed_4f.
    - Visual capsules: 9x9 convolutions without padding to 8 poses of 4x4 and
      8 activations, sigmoid [descendant].
    - Sentence: widths 2, 3 and 4, ReLU, maximum over words, then over the
      three [recalled], 8 capsules and activations at every cell [descendant].
    - `EMRouting` of the 16 to 8, three iterations [descendant; plain form].
    - Decoder: transposed 9x9, then three transposed 3x3x3, each beside a
      convolution of a stage of I3D; dropout; masks of the four frames, of
      which the target's is given [descendant].
    - Theirs in training keeps the poses of the true class alone, and adds a
      spread loss and perhaps Dice [descendant]. Records hand no class on, so
      that here poses are weighed by their activations, and the mask alone is
      trained [chosen]. Optimizer, rates and epochs are [open].

    Frames must be 64 pixels and more with a `kernel` of 5, 96 with 9.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        temporal_backbone: network that sees the clip, I3D with a finer stage.
        width: multiplies the channels of backbone, text and decoder.
        text_channels: channels of the sentence, before `width`.
        kernel: side of the convolution that makes capsules; the authors' 9
            needs frames of 96 pixels and more.
        dropout: share of channels and values that training drops.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, `mask_logits` alone.

    Reference:
        McIntosh et al., "Visual-Textual Capsule Routing for Text-Based Video
        Segmentation", CVPR 2020.
    """

    reference = "VT-Capsule, a variant (McIntosh et al., CVPR 2020)"
    inference = {"synchronized": False, "dropout": 0.0}
    parts = common.parts("temporal", common.BELOW_MIXED_4F)
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text": ("temporal_text",),
        "temporal backbone": ("temporal_backbone",),
        "capsules": ("decoder_capsules",),
        "decoder": ("decoder_up", "decoder_skip", "decoder_logits"),
    }
    results = {
        "a2d_sentences": (52.6, 45.0, 34.5, 20.7, 3.6, 30.3, 56.8, 46.0),
        "jhmdb_sentences": (67.7, 51.3, 28.3, 5.1, 0.0, 26.1, 53.5, 55.0),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        temporal_backbone: Literal["i3d"] = "i3d",
        width: float = 1.0,
        text_channels: int = 300,
        kernel: int = 9,
        dropout: float = 0.5,
        embedding_dim: int = 300,
        train_embeddings: bool = False,
        num_frames: int = 8,
        synchronized: bool = False,
        name: str = "vt_capsule",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        vectors, word_mask = common.word_vectors(
            inputs["tokens"], vocabulary_size, embedding_dim, train_embeddings
        )
        target = num_frames // 2
        before = _FRAMES // 2
        network = FineI3D(width, "temporal_backbone", synchronized)
        x = network.preprocess(
            inputs["frames"][:, target - before : target - before + _FRAMES]
        )
        stages = {}
        for stage in (1, 2, 3, 4):
            x = stages[stage] = network.stage(stage, x)
        feature = stages[4][:, 0]
        if dropout:
            feature = keras.layers.SpatialDropout2D(
                dropout, name="temporal_dropout"
            )(feature)
        poses, activations = _join(
            _visual_capsules(feature, kernel),
            _text_capsules(vectors, word_mask, round(text_channels * width)),
        )
        poses, activations = EMRouting(
            _CAPSULES, name="decoder_capsules_routing"
        )(poses, activations)
        x = _decoded(
            Capsules(_CAPSULES * _POSE, name="decoder_poses")(
                poses * activations[..., None]
            ),
            feature,
            stages,
            kernel,
            scaled(64, width),
        )
        if dropout:
            x = keras.layers.Dropout(dropout, name="decoder_dropout")(x)
        x = keras.layers.Conv3D(1, 3, padding="same", name="decoder_logits")(x)
        super().__init__(arguments, inputs, common.logits(x[:, before]), name)


def _visual_capsules(feature, kernel):
    """Poses and activations of each cell."""

    def made(count, activation, kind):
        name = f"decoder_capsules_{kind}"
        return keras.layers.Conv2D(
            count, kernel, activation=activation, name=name
        )(feature)

    poses = made(_CAPSULES * _POSE, None, "poses")
    return poses, made(_CAPSULES, "sigmoid", "activations")


def _text_capsules(vectors, word_mask, channels):
    """Poses and activations of the sentence, `(batch, 128)`, `(batch, 8)`."""
    heard = [
        common.LargestWord(name=f"temporal_text_maximum_{size}")(
            keras.layers.Conv1D(
                channels,
                size,
                padding="same",
                activation="relu",
                name=f"temporal_text_conv_{size}",
            )(vectors),
            word_mask,
        )
        for size in (2, 3, 4)
    ]
    heard = keras.layers.Maximum(name="temporal_text_maximum")(heard)
    dense = keras.layers.Dense
    poses = dense(_CAPSULES * _POSE, name="temporal_text_poses")(heard)
    return poses, dense(
        _CAPSULES, activation="sigmoid", name="temporal_text_activations"
    )(heard)


def _join(visual, text):
    """All capsules of each cell, `(batch, h, w, 16, 16)` and `(..., 16)`."""
    everywhere = [
        ops.zeros_like(map_) + vector[:, None, None]
        for map_, vector in zip(visual, text, strict=True)
    ]
    poses = keras.layers.Concatenate(name="decoder_capsules_all")(
        [visual[0], everywhere[0]]
    )
    activations = keras.layers.Concatenate(name="decoder_capsules_active")(
        [visual[1], everywhere[1]]
    )
    return Capsules(_POSE, name="decoder_capsules_split")(poses), activations


@keras.saving.register_keras_serializable("keras_vas")
class Capsules(keras.layers.Layer):
    """The channels of each cell as capsules, or capsules as channels.

    Args:
        channels: length of the last axis; the axes from the fourth on are
            flattened, and split if there are more numbers than that.

    Call arguments:
        x: `(batch, height, width, ...)`.

    Output shape:
        `(batch, height, width, channels)`, or with one axis more before it.
    """

    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, x):
        return ops.reshape(x, self._shape(ops.shape(x)))

    def _shape(self, shape):
        count = math.prod(shape[3:]) // self.channels
        return (*shape[:3], *([count] if count > 1 else []), self.channels)

    def compute_output_shape(self, shape):
        return self._shape(shape)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def _decoded(x, feature, stages, kernel, channels):
    """Capsules to `(batch, 4, height, width, channels)`, step by step."""
    x = keras.layers.Conv2DTranspose(
        channels, kernel, activation="relu", name="decoder_up_4"
    )(x)
    x = ops.concatenate(
        [x, common.conv3(feature, channels, "decoder_skip_4")], axis=-1
    )[:, None]
    for stage, strides, more in ((2, 2, 1), (1, (1, 2, 2), 1), (0, 2, 2)):
        x = keras.layers.Conv3DTranspose(
            more * channels,
            3,
            strides=strides,
            padding="same",
            activation="relu",
            name=f"decoder_up_{stage}",
        )(x)
        if stage:
            skip = keras.layers.Conv3D(
                channels,
                3,
                padding="same",
                activation="relu",
                name=f"decoder_skip_{stage}",
            )(stages[stage])
            x = ops.concatenate([x, skip], axis=-1)
    return x
