"""CMDy: context modulated dynamic networks."""

from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_vas.backbones import TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.models.compared import common
from keras_vas.models.compared.conv_lstm import ConvLSTM
from keras_vas.models.compared.deformable_filter import (
    CENTRE,
    TAPS,
    DeformableFilter,
)
from keras_vas.models.segmentation_model import WORD_VECTORS

_MODULES = 3
_GROUP = 4


@keras.saving.register_keras_serializable("keras_vas")
class CMDy(common.ComparedModel):
    """Wang et al.'s context modulated dynamic convolution.

    There is no published program. Marks: [paper], [derived] an inference
    from its numbers, [open] stated nowhere that was found.

    - Clip: stages 1 to 4 of I3D (to Mixed_4f), mean over time, L2
      normalization of each cell [paper]; transposed 8x8 with stride 4, then
      3x3, 256 channels [paper; channels derived].
    - `temporal_branch`: a ConvLSTM over the time steps of stage 4 of as many
      channels, enlarged likewise and concatenated [paper]. It brought 0.1 of
      AP. Kernel 3x3 [open; chosen]; the paper's has peepholes, which would
      fix the size of the frames: left out.
    - Sentence: a bidirectional GRU of 300 each way, maximum over the words
      [paper].
    - Three modules, see `DeformableFilter`, groups of 4 channels [paper,
      "e.g."]. t = tanh(linear map of the sentence). k comes from a 1x1
      convolution, one weight for each channel and place [open; chosen, by
      the published cost], and begins as 1 at the centre; the offsets come
      from a 3x3 convolution and begin at 0 [chosen]. [y, eight coordinates],
      a 1x1 convolution, batch normalization [place open], added to the input
      [paper]; the third gives the response itself [open how; chosen 1x1].
    - Loss: cross-entropy of the mask, positive weight 1.5; Adam 1e-3, divided
      by 10 after epoch 6; batch 36; Mixed_4b to 4f are trained [paper].

    Frames are the 8 of a record, where the authors have 16.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        temporal_backbone: network that sees the clip; the authors' is I3D.
        width: multiplies the channels of backbone, text and decoder.
        text_channels: channels of the sentence each way, before `width`.
        temporal_branch: add the branch with a ConvLSTM.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, `mask_logits` alone.

    Reference:
        Wang et al., "Context Modulated Dynamic Networks for Actor and Action
        Video Segmentation with Language Queries", AAAI 2020.
    """

    reference = "CMDy (Wang et al., AAAI 2020)"
    inference = {"synchronized": False}
    parts = common.parts("temporal", common.BELOW_MIXED_4B)
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text": ("temporal_text",),
        "temporal backbone": ("temporal_backbone",),
        "ConvLSTM": ("temporal_memory",),
        "up-sampling": ("decoder_up",),
        "modules": ("decoder_module",),
    }
    results = {
        "a2d_sentences": (60.7, 52.5, 40.5, 23.5, 4.5, 33.3, 62.3, 53.1),
        "jhmdb_sentences": (74.2, 58.7, 31.6, 4.7, 0.0, 30.1, 55.4, 57.6),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        temporal_backbone: Literal[*TEMPORAL_BACKBONES] = "i3d",
        width: float = 1.0,
        text_channels: int = 300,
        temporal_branch: bool = False,
        embedding_dim: int = 300,
        train_embeddings: bool = False,
        num_frames: int = 8,
        synchronized: bool = False,
        name: str = "cmdy",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        vectors, word_mask = common.word_vectors(
            inputs["tokens"], vocabulary_size, embedding_dim, train_embeddings
        )
        sentence = _both_ways(vectors, word_mask, round(text_channels * width))
        clip = common.clip_feature(
            inputs["frames"],
            (temporal_backbone, width),
            "temporal_backbone",
            synchronized,
        )
        feature = common.mean_of_frames(clip, "temporal_feature")
        channels = scaled(256, width)
        x = _enlarged(feature, channels, "decoder_up_1", synchronized)
        if temporal_branch:
            memory = ConvLSTM(name="temporal_memory")(clip)
            memory = _enlarged(memory, channels, "decoder_up_2", synchronized)
            x = keras.layers.Concatenate(name="decoder_up_concat")([x, memory])
        for number in range(1, _MODULES + 1):
            module = f"decoder_module_{number}"
            y = _filtered(x, sentence, module)
            y = common.located([y], module)
            if number == _MODULES:
                x = keras.layers.Conv2D(1, 1, name=f"{module}_logits")(y)
                break
            y = keras.layers.Conv2D(x.shape[-1], 1, name=f"{module}_conv")(y)
            y = keras.layers.BatchNormalization(
                synchronized=synchronized, name=f"{module}_bn"
            )(y)
            x = keras.layers.Add(name=f"{module}_add")([x, y])
        full = common.bilinear(x, 4, "decoder_full")
        super().__init__(arguments, inputs, common.logits(full), name)


def _both_ways(vectors, word_mask, channels):
    """The sentence of a GRU forward and one backward, `(batch, 2 C)`."""
    forward, backward = (
        keras.layers.RNN(
            keras.layers.GRUCell(channels, name="cell"),
            return_sequences=True,
            go_backwards=bool(way),
            name=f"temporal_text_gru_{way}",
        )(vectors, mask=word_mask)
        for way in (0, 1)
    )
    words = keras.layers.Concatenate(name="temporal_text_concat")(
        [forward, ops.flip(backward, axis=1)]
    )
    return common.LargestWord(name="temporal_text_maximum")(words, word_mask)


def _enlarged(x, channels, name, synchronized):
    x = common.up4(x, channels, name)
    return keras.layers.BatchNormalization(
        synchronized=synchronized, name=f"{name}_bn"
    )(x)


def _filtered(x, sentence, name):
    """The response of the groups of channels, `(batch, h, w, C / 4)`."""
    channels = x.shape[-1]

    def centre(shape, dtype=None):
        bias = np.zeros(shape)
        bias[CENTRE * channels : (CENTRE + 1) * channels] = 1
        return ops.convert_to_tensor(bias, dtype=dtype)

    guide = keras.layers.Dense(
        channels, activation="tanh", name=f"{name}_sentence"
    )(sentence)
    offsets = keras.layers.Conv2D(
        2 * TAPS,
        3,
        padding="same",
        kernel_initializer="zeros",
        name=f"{name}_offsets",
    )(x)
    filters = keras.layers.Conv2D(
        TAPS * channels,
        1,
        bias_initializer=centre,
        name=f"{name}_filters",
    )(x)
    return DeformableFilter(_GROUP, name=f"{name}_filter")(
        x, offsets, filters, guide
    )
