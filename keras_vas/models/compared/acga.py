"""ACGA: asymmetric cross-guided attention between a clip and a sentence."""

from typing import Literal

import keras

from keras_vas.backbones import TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.models.compared import common
from keras_vas.models.compared.cross_guided_attention import (
    CellsForCells,
    WordsForCells,
)
from keras_vas.models.segmentation_model import WORD_VECTORS


@keras.saving.register_keras_serializable("keras_vas")
class ACGA(common.ComparedModel):
    """Wang et al.'s asymmetric cross-guided attention network.

    Marks: [code] the authors' program, [paper], [derived] arithmetic, [open]
    stated nowhere that was found.

    - Clip: stages 1 to 4 of I3D (to Mixed_4f), mean over time, L2
      normalization of each cell [paper, code], concatenated with eight
      coordinates [code].
    - Sentence: a 1-D convolution of width 3 and tanh [code].
    - Attention: `WordsForCells`, and `CellsForCells` of which the feature's
      own channels are kept, without residual [code]. The linear maps begin
      at N(0, 0.02) [code].
    - Three responses at strides 16, 4 and 1, of 256, 128 and 64 channels;
      between them transposed 8x8 with stride 4 and 3x3, without activation
      [code]. A 3x3 convolution mixes the three at full size [code].
    - Loss: cross-entropy with positive weight 1.5 on the two coarse ones and
      on the mixed one; Adam, 5e-4, divided by 10 after epoch 8; batch 4;
      Mixed_4f is trained, I3D below it is not [code].

    Chosen: padded words take no part in softmax and maximum; in the
    authors' program they do, always at 20 words [open whether meant]. Frames
    are the 8 of a record, every second one, where the authors have 16 of
    unknown spacing [open].

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        temporal_backbone: network that sees the clip; the authors' is I3D.
        width: multiplies the channels of backbone, text and decoder.
        text_channels: channels of the words, before `width`.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        deep_supervision: also output the responses at strides 4 and 16, which
            only training needs.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, with `mask_logits_p2` and
        `mask_logits_p4`.

    Reference:
        Wang et al., "Asymmetric Cross-Guided Attention Network for Actor and
        Action Video Segmentation From Natural Language Query", ICCV 2019.
    """

    reference = "ACGA (Wang et al., ICCV 2019)"
    parts = common.parts("temporal", common.BELOW_MIXED_4F)
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text": ("temporal_text",),
        "temporal backbone": ("temporal_backbone",),
        "attention": ("decoder_attention",),
        "up-sampling": ("decoder_up",),
        "head of stride 16": ("decoder_small",),
        "head of stride 4": ("decoder_medium",),
        "head of stride 1": ("decoder_large",),
        "mixture": ("decoder_mixture",),
    }
    results = {
        "a2d_sentences": (55.7, 45.9, 31.9, 16.0, 2.0, 27.4, 60.1, 49.0),
        "jhmdb_sentences": (75.6, 56.4, 28.7, 3.4, 0.0, 28.9, 57.6, 58.4),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        temporal_backbone: Literal[*TEMPORAL_BACKBONES] = "i3d",
        width: float = 1.0,
        text_channels: int = 300,
        embedding_dim: int = 300,
        train_embeddings: bool = False,
        num_frames: int = 8,
        deep_supervision: bool = False,
        synchronized: bool = False,
        name: str = "acga",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        vectors, word_mask = common.word_vectors(
            inputs["tokens"], vocabulary_size, embedding_dim, train_embeddings
        )
        words = keras.layers.Conv1D(
            round(text_channels * width),
            3,
            padding="same",
            activation="tanh",
            name="temporal_text_conv",
        )(vectors)
        sentence = common.LargestWord(name="temporal_text_maximum")(
            words, word_mask
        )
        feature = common.mean_of_frames(
            common.clip_feature(
                inputs["frames"],
                (temporal_backbone, width),
                "temporal_backbone",
                synchronized,
            ),
            "temporal_feature",
        )
        place = common.located([feature], "temporal_feature")
        of_words = WordsForCells(name="decoder_attention_words")(
            place, words, word_mask
        )
        of_cells = CellsForCells(name="decoder_attention_cells")(
            place, sentence
        )[..., : feature.shape[-1]]

        def head(x, factor, channels, name):
            enlarged = of_words
            if factor > 1:
                enlarged = common.bilinear(
                    of_words, factor, f"decoder_{name}_words"
                )
            x = common.located([x, enlarged], f"decoder_{name}")
            return common.response_head(x, channels, width, f"decoder_{name}")

        small = head(of_cells, 1, 256, "small")
        x = common.up4(of_cells, scaled(256, width), "decoder_up_1")
        medium = head(x, 4, 128, "medium")
        x = common.up4(x, scaled(128, width), "decoder_up_2")
        large = head(x, 16, 64, "large")
        responses = [
            common.bilinear(small, 16, "decoder_small_full"),
            common.bilinear(medium, 4, "decoder_medium_full"),
            large,
        ]
        mixed = common.conv3(
            keras.layers.Concatenate(name="decoder_responses")(responses),
            1,
            "decoder_mixture",
            activation=None,
        )
        outputs = common.logits(mixed)
        if deep_supervision:
            outputs |= common.logits(medium, 2) | common.logits(small, 4)
        super().__init__(arguments, inputs, outputs, name)
