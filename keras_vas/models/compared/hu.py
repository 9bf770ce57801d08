"""Hu et al. and what Li et al. share with it: a picture, an LSTM, stride 32."""

from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_vas.backbones import SPATIAL_BACKBONES, STAGES
from keras_vas.models.compared import common
from keras_vas.models.segmentation_model import WORD_VECTORS

_STRIDE = 32


class PictureModel(common.ComparedModel):
    """A system that sees the target frame alone, at stride 32."""

    parts = common.parts("spatial", ("block",))
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text": ("spatial_text",),
        "spatial backbone": ("spatial_backbone",),
        "response": ("decoder_response",),
        "up-sampling": ("decoder_up",),
    }


def picture_feature(frames, architecture, width, synchronized):
    """Stage 5 of a backbone at the target frame, stride 32."""
    backbone = SPATIAL_BACKBONES[architecture](
        width, "spatial_backbone", synchronized
    )
    x = backbone.preprocess(frames[:, frames.shape[1] // 2])
    for stage in STAGES:
        x = backbone.stage(stage, x)
    return x


def lstm_sentence(vectors, word_mask, channels, **initializers):
    """What an LSTM remembers after the last word, `(batch, channels)`.

    Padding, which the systems have on the left, changes nothing.
    """
    cell = keras.layers.LSTMCell(channels, **initializers, name="cell")
    return keras.layers.RNN(cell, name="spatial_text_lstm")(
        vectors, mask=word_mask
    )


def bilinear_kernel(shape, dtype=None):
    """Kernel `(2 s, 2 s, 1, 1)` that enlarges a map s times bilinearly."""
    size = shape[0]
    distance = np.abs(np.arange(size) - (size - 1) / 2)
    weights = 1 - distance / (size / 2)
    kernel = weights[:, None] * weights[None]
    return keras.ops.convert_to_tensor(kernel.reshape(shape), dtype=dtype)


def outputs_of(response, deep_supervision):
    """The response at stride 32, enlarged by a transposed 64x64 kernel."""
    full = keras.layers.Conv2DTranspose(
        1,
        2 * _STRIDE,
        strides=_STRIDE,
        padding="same",
        use_bias=False,
        kernel_initializer=bilinear_kernel,
        name="decoder_up",
    )(response)
    outputs = common.logits(full)
    if deep_supervision:
        outputs |= common.logits(response, 5)
    return outputs


@keras.saving.register_keras_serializable("keras_vas")
class Hu(PictureModel):
    """Hu et al.'s segmentation from natural language expressions.

    Marks: [code] the authors' program, [cited] by another paper, [open]
    stated nowhere that was found.

    - Picture: VGG-16 as a fully convolutional network to fc8, 1000 channels
      without ReLU at stride 32, L2-normalized [code]. The target frame only.
    - Sentence: learned word vectors of 1000, an LSTM of 1000 with forget bias
      1, its last output, L2-normalized [code].
    - Each cell [sentence, feature, eight coordinates]: 1x1 of 500, ReLU, 1x1
      of 1; a transposed 64x64 with stride 32 that begins bilinear [code].
    - On ReferIt: SGD in three steps, negative pixels weighing 1/3; conv1 to
      conv5 frozen, fc6 to fc8 trained [code].

    How it was trained on A2D is [open]. Chosen: ImageNet, no ReferIt; both
    strides at once, positive weight 3, Adam with 1e-3. L2 normalization of
    the published features is kept for other backbones than VGG-16.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        spatial_backbone: network that sees the target frame; the authors' is
            VGG-16 with fc6 to fc8. Any other gives its stage 5.
        width: multiplies the channels of backbone, text and response.
        text_channels: channels of the LSTM, before `width`.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        deep_supervision: also output the response at stride 32, which only
            training needs.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, with `mask_logits_p5`.

    Reference:
        Hu et al., "Segmentation from Natural Language Expressions", ECCV
        2016; numbers on A2D from Gavrilyuk et al., CVPR 2018.
    """

    reference = "Hu (Hu et al., ECCV 2016)"
    results = {
        "a2d_sentences": (34.8, 23.6, 13.3, 3.3, 0.1, 13.2, 47.4, 35.0),
        "jhmdb_sentences": (63.3, 35.0, 8.5, 0.2, 0.0, 17.8, 54.6, 52.8),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        spatial_backbone: Literal[*SPATIAL_BACKBONES] = "vgg16",
        width: float = 1.0,
        text_channels: int = 1000,
        embedding_dim: int = 1000,
        train_embeddings: bool = True,
        num_frames: int = 8,
        deep_supervision: bool = False,
        synchronized: bool = False,
        name: str = "hu",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        vectors, word_mask = common.word_vectors(
            inputs["tokens"], vocabulary_size, embedding_dim, train_embeddings
        )
        feature = picture_feature(
            inputs["frames"], spatial_backbone, width, synchronized
        )
        sentence = lstm_sentence(
            vectors, word_mask, round(text_channels * width)
        )
        unit = keras.layers.UnitNormalization
        feature = unit(name="spatial_feature_normalization")(feature)
        sentence = unit(name="spatial_text_normalization")(sentence)
        everywhere = ops.zeros_like(feature[..., :1]) + sentence[:, None, None]
        x = common.located([everywhere, feature], "decoder_response")
        x = keras.layers.Conv2D(
            max(8, round(500 * width)),
            1,
            activation="relu",
            name="decoder_response_conv",
        )(x)
        response = keras.layers.Conv2D(1, 1, name="decoder_response_logits")(x)
        outputs = outputs_of(response, deep_supervision)
        super().__init__(arguments, inputs, outputs, name)
