"""CSTM: collaborative spatial-temporal modeling, the whole network."""

from typing import Literal

import keras
from keras import ops

from keras_vas.backbones import SPATIAL_BACKBONES, STAGES, TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.layers.class_prior import ClassPrior
from keras_vas.layers.cmam import COORDINATE_FUSIONS, GATES
from keras_vas.layers.last_word import LastWord
from keras_vas.layers.sentence_mean import SentenceMean
from keras_vas.models.cstm import part_names, sentence_gate
from keras_vas.models.cstm.mask_decoder import (
    FUSIONS,
    mask_decoder,
    upsampling,
)
from keras_vas.models.cstm.text_encoder import text_encoder
from keras_vas.models.cstm.visual_encoder import MODULATIONS, visual_encoder
from keras_vas.models.segmentation_model import WORD_VECTORS, SegmentationModel

ENCODERS = {
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "both": ("spatial", "temporal"),
}
SENTENCES = {"mean": SentenceMean, "last": LastWord}
_PRIOR_RANK = 256


@keras.saving.register_keras_serializable("keras_vas")
class CSTM(SegmentationModel):
    """Segments the actor that does what a sentence says.

    A spatial encoder (2-D) sees the target frame, a temporal encoder (3-D)
    the clip around it; each has a GRU for the sentence and a CMAM in its
    five stages. The decoder mixes both with LGFS and draws the mask.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown (A2D Sentences has 1,310 words).
        encoders: which encoders there are (table 3a).
        spatial_backbone: network of the spatial encoder (table 3d).
        temporal_backbone: network of the temporal encoder (table 3d).
        fusion: how the decoder mixes two encoders: by their sum, their
            maximum, or LGFS (table 3b).
        cmam_stages: stages with a CMAM, any subset of 1,2,3,4,5, or none
            (table 3c); in the others the sentence is concatenated in the
            decoder.
        coordinate_fusion: how a CMAM mixes a feature with its coordinates,
            by a convolution or linearly; see `layers.CMAM`.
        gate: what a CMAM adds to a feature, by equation 6 or centred on the
            identity; see `layers.CMAM`.
        sentence: what the decoder knows of a sentence, the mean of its words
            or the last one.
        modulation: whether the next stage of a backbone sees what a CMAM
            makes of a stage (the paper), or CMAMs stand beside the backbones,
            which then see the frames alone.
        class_prior: the decoder also sees where a picture looks like the
            classes that the sentence's noun means; see `layers.ClassPrior`.
        width: multiplies the channels of backbones, text encoders, keys and
            decoder, to the nearest multiple of 8.
        decoder_channels: channels of the decoder, before `width`.
        key_channels: channels of the CMAMs' keys (C_M), before `width`.
        text_channels: channels of the text encoders (C_L), before `width`.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: T, frames in a clip; the target is frame T // 2.
        deep_supervision: add the mask heads of stages 2 to 5, which only
            training needs.
        attention_maps: also output the attention map of every CMAM.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments:
        inputs: dict of `frames`, `(batch, T, height, width, 3)` RGB pixel
            values 0..255 of any dtype, height and width multiples of 32, and
            `tokens`, int32 `(batch, words)`, padded with 0 on the right.

    Output: dict of
        `mask_logits`: `(batch, height, width, 1)`;
        with `deep_supervision`, `mask_logits_p2` to `mask_logits_p5` at
        strides 4 to 32;
        with `attention_maps`, `attention_{encoder}_{stage}`,
        `(batch, words, [time,] height / 2^i, width / 2^i)`.

    Reference:
        Hui et al., "Collaborative Spatial-Temporal Modeling for
        Language-Queried Video Actor Segmentation", CVPR 2021.
    """

    reference = "CSTM (Hui et al., CVPR 2021)"
    programs_set = (
        *SegmentationModel.programs_set,
        "attention_maps",
        "synchronized",
    )
    inference = {
        "deep_supervision": False,
        "attention_maps": False,
        "synchronized": False,
    }
    parts = part_names.PARTS
    costs = part_names.COSTS
    published = {
        "arguments": {"coordinate_fusion": "conv", "deep_supervision": True},
        "multiply_adds": {"spatial": 19.54e9, "": 213.06e9},
    }
    results = part_names.RESULTS

    def __init__(
        self,
        vocabulary_size: int = 1312,
        encoders: Literal[*ENCODERS] = "both",
        spatial_backbone: Literal[*SPATIAL_BACKBONES] = "inception_v3",
        temporal_backbone: Literal[*TEMPORAL_BACKBONES] = "i3d",
        fusion: Literal[*FUSIONS] = "lgfs",
        cmam_stages: tuple[int, ...] = STAGES,
        coordinate_fusion: Literal[*COORDINATE_FUSIONS] = "conv",
        gate: Literal[*GATES] = "residual",
        sentence: Literal[*SENTENCES] = "mean",
        modulation: Literal[*MODULATIONS] = "through",
        class_prior: bool = False,
        width: float = 1.0,
        decoder_channels: int = 256,
        key_channels: int = 256,
        text_channels: int = 300,
        embedding_dim: int = 300,
        train_embeddings: bool = False,
        num_frames: int = 8,
        deep_supervision: bool = False,
        attention_maps: bool = False,
        synchronized: bool = False,
        name: str = "cstm",
    ):
        cmam_stages = tuple(sorted(cmam_stages))
        arguments = dict(locals())
        _check_positive(arguments)
        _check_choice("encoders", encoders, ENCODERS)
        _check_choice("spatial_backbone", spatial_backbone, SPATIAL_BACKBONES)
        _check_choice(
            "temporal_backbone", temporal_backbone, TEMPORAL_BACKBONES
        )
        _check_choice("sentence", sentence, SENTENCES)
        _check_choice("modulation", modulation, MODULATIONS)
        if class_prior and encoders == "temporal":
            raise ValueError(
                "class_prior needs the spatial encoder. "
                f"Received: encoders={encoders!r}"
            )
        if not set(cmam_stages) <= set(STAGES):
            raise ValueError(
                f"cmam_stages must be a subset of {STAGES}. "
                f"Received: cmam_stages={tuple(cmam_stages)}"
            )

        frames = keras.Input((num_frames, None, None, 3), name="frames")
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        word_mask = ops.not_equal(tokens, 0)
        embedded = keras.layers.Embedding(
            vocabulary_size,
            embedding_dim,
            trainable=train_embeddings,
            name=WORD_VECTORS,
        )(tokens)

        views = {
            "spatial": (
                SPATIAL_BACKBONES[spatial_backbone],
                frames[:, num_frames // 2],
            ),
            "temporal": (TEMPORAL_BACKBONES[temporal_backbone], frames),
        }
        features, sentences, outputs, prior = {}, {}, {}, None
        for encoder in ENCODERS[encoders]:
            backbone, view = views[encoder]
            words = text_encoder(
                embedded,
                word_mask,
                scaled(text_channels, width),
                name=f"{encoder}_text",
            )
            maps, attention, last = visual_encoder(
                backbone(width, f"{encoder}_backbone", synchronized),
                view,
                words,
                word_mask,
                cmam_stages=cmam_stages,
                cmam_arguments={
                    "key_channels": scaled(key_channels, width),
                    "coordinate_fusion": coordinate_fusion,
                    "gate": gate,
                    "synchronized": synchronized,
                },
                name=encoder,
                modulation=modulation,
                attention_maps=attention_maps,
            )
            features[encoder] = {
                stage: _target_frame(feature) for stage, feature in maps.items()
            }
            sentences[encoder] = SENTENCES[sentence](
                name=f"{encoder}_sentence"
            )(words, word_mask)
            if class_prior and encoder == "spatial":
                prior = ClassPrior(
                    vocabulary_size, _PRIOR_RANK, name=part_names.CLASS_PRIOR
                )(last, tokens)
            for stage, attended in attention.items():
                outputs[f"attention_{encoder}_{stage}"] = attended

        logits = mask_decoder(
            features,
            sentences,
            prior=prior,
            fusion=fusion,
            concatenation_stages=set(STAGES) - set(cmam_stages),
            channels=scaled(decoder_channels, width),
            deep_supervision=deep_supervision,
            synchronized=synchronized,
        )
        outputs["mask_logits"] = upsampling("mask_logits", dtype="float32")(
            logits[1]
        )
        for stage in sorted(logits.keys() - {1}):
            outputs[f"mask_logits_p{stage}"] = keras.layers.Activation(
                "linear", dtype="float32", name=f"mask_logits_p{stage}"
            )(logits[stage])
        super().__init__(
            arguments,
            inputs={"frames": frames, "tokens": tokens},
            outputs=outputs,
            name=name,
        )

    def sentence_gate(self, encoder, words, noise):
        """See `sentence_gate.sentence_gate`."""
        return sentence_gate.sentence_gate(self, encoder, words, noise)


def _target_frame(feature):
    """The slice at T_i // 2 of a temporal feature; a spatial one as it is."""
    if len(feature.shape) == 4:
        return feature
    return feature[:, feature.shape[1] // 2]


def _check_positive(arguments):
    for name, value in arguments.items():
        if type(value) in (int, float) and not 0 < value < float("inf"):
            raise ValueError(
                f"{name} must be positive. Received: {name}={value}"
            )


def _check_choice(argument, value, choices):
    if value not in choices:
        raise ValueError(
            f"{argument} must be one of {sorted(choices)}. "
            f"Received: {argument}={value!r}"
        )
