"""Gavrilyuk et al.: filters made of the sentence, at three resolutions."""

from typing import Literal

import keras

from keras_vas.backbones import TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.models.compared import common
from keras_vas.models.compared.dynamic_filter import DynamicFilter
from keras_vas.models.segmentation_model import WORD_VECTORS

_PAIR = 2


@keras.saving.register_keras_serializable("keras_vas")
class Gavrilyuk(common.ComparedModel):
    """Gavrilyuk et al.'s actor and action segmentation, RGB alone.

    Marks: [paper], [third party] a re-implementation from the paper, [open]
    stated nowhere that was found.

    - Sentence: a 1-D convolution of width 2, ReLU, maximum over the words
      [third party].
    - Clip: stages 1 to 4 of I3D (to Mixed_4f), mean over time, L2
      normalization of each cell [paper]; how many coordinates are appended
      is [open], chosen are the eight of the systems that it follows.
    - Strides 4 and 1: transposed 8x8 with stride 4, then 3x3, of 256 and 128
      channels [paper; channels third party]; ReLU after both [open; chosen],
      coordinates appended again, without another normalization [open;
      chosen].
    - At each of the three a filter tanh(W l + b) of one cell [paper], see
      `DynamicFilter`; the finest response is the mask [paper].
    - Loss: cross-entropy at all three [paper], weights 1 [third party]; Adam
      1e-3, divided by 10 every 5,000 steps; Mixed_4f alone of I3D is trained
      [paper]. Batch [open; chosen 8].

    Chosen: of the pairs of words, those whose first word is there. Frames are
    the 8 of a record, where the authors have 16; with 8, their own ablation
    loses 0.8 of overall IoU [third party].

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        temporal_backbone: network that sees the clip; the authors' is I3D.
        width: multiplies the channels of backbone, text and decoder.
        text_channels: channels of the sentence, before `width`.
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
        Gavrilyuk et al., "Actor and Action Video Segmentation from a
        Sentence", CVPR 2018.
    """

    reference = "Gavrilyuk RGB (Gavrilyuk et al., CVPR 2018)"
    parts = common.parts("temporal", common.BELOW_MIXED_4F)
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text": ("temporal_text",),
        "temporal backbone": ("temporal_backbone",),
        "up-sampling": ("decoder_up", "decoder_flow_up"),
        "filters": ("decoder_filter", "decoder_flow_filter"),
    }
    results = {
        "a2d_sentences": (47.5, 34.7, 21.1, 8.0, 0.2, 19.8, 53.6, 42.1),
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
        name: str = "gavrilyuk",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        sentence = pair_sentence(
            inputs["tokens"],
            vocabulary_size,
            round(text_channels * width),
            embedding_dim,
            train_embeddings,
        )
        responses = stream(
            inputs["frames"],
            sentence,
            (temporal_backbone, width),
            "temporal_backbone",
            "decoder",
            deep_supervision,
            synchronized,
        )
        outputs = {}
        for stage, response in responses.items():
            outputs |= common.logits(response, stage)
        super().__init__(arguments, inputs, outputs, name)


def pair_sentence(
    tokens, vocabulary_size, channels, embedding_dim, train_embeddings
):
    """The sentence as the maximum over what its pairs of words say."""
    vectors, word_mask = common.word_vectors(
        tokens, vocabulary_size, embedding_dim, train_embeddings
    )
    pairs = keras.layers.Conv1D(
        channels,
        _PAIR,
        padding="same",
        activation="relu",
        name="temporal_text_conv",
    )(vectors)
    return common.LargestWord(name="temporal_text_maximum")(pairs, word_mask)


def stream(
    clip, sentence, backbone, name, decoder, deep_supervision, synchronized
):
    """One stream: a clip and a sentence to responses.

    Args:
        clip: RGB 0..255 or flow, `(batch, time, height, width, channels)`.
        sentence: `(batch, text_channels)`.
        backbone: `(name of a temporal backbone, width)`.
        name: of the backbone's layers.
        decoder: what the names of the other layers begin with.
        deep_supervision: whether there are the two coarse responses.
        synchronized: batch statistics over all replicas.

    Returns:
        Dict of None, the finest, and with `deep_supervision` of the stages 2
        and 4 to `(batch, height / 2^i, width / 2^i, 1)`.
    """
    feature = common.clip_feature(clip, backbone, name, synchronized)
    x = common.mean_of_frames(feature, name.replace("backbone", "feature"))
    responses = {}
    for stage, channels in ((4, None), (2, 256), (None, 128)):
        if channels:
            x = common.up4(
                x,
                scaled(channels, backbone[1]),
                f"{decoder}_up_{stage or 0}",
                activation="relu",
            )
        x = common.located([x], f"{decoder}_feature_{stage or 0}")
        if stage is None or deep_supervision:
            responses[stage] = DynamicFilter(
                name=f"{decoder}_filter_{stage or 0}"
            )(x, sentence)
    return responses
