"""CSTM: collaborative spatial-temporal modeling, the whole network."""

import keras
from keras import ops

from keras_vas.backbones import SPATIAL_BACKBONES, STAGES, TEMPORAL_BACKBONES
from keras_vas.backbones.backbone import scaled
from keras_vas.layers.class_prior import ClassPrior
from keras_vas.layers.last_word import LastWord
from keras_vas.layers.sentence_mean import SentenceMean
from keras_vas.models.cstm import part_names
from keras_vas.models.cstm.mask_decoder import mask_decoder, upsampling
from keras_vas.models.cstm.text_encoder import text_encoder
from keras_vas.models.cstm.visual_encoder import MODULATIONS, visual_encoder

ENCODERS = {
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "both": ("spatial", "temporal"),
}
SENTENCES = {"mean": SentenceMean, "last": LastWord}


@keras.saving.register_keras_serializable("keras_vas")
class CSTM(keras.Model):
    """Segments the actor that does what a sentence says.

    A spatial encoder (2-D) sees the target frame, a temporal encoder (3-D)
    the clip around it; each has a GRU for the sentence and a CMAM in its
    five stages. The decoder mixes both with LGFS and draws the mask.

    Args:
        vocabulary_size: int. Word ids, with 0 = padding and 1 = unknown
            (A2D Sentences has 1,310 words).
        encoders: `"spatial"`, `"temporal"` or `"both"` (table 3a).
        spatial_backbone: name in `keras_vas.backbones.SPATIAL_BACKBONES`.
        temporal_backbone: name in `TEMPORAL_BACKBONES` (table 3d).
        fusion: `"add"`, `"max"` or `"lgfs"` (table 3b).
        cmam_stages: the stages with a CMAM, any subset of 1 to 5 (table 3c).
            In the others the sentence is concatenated in the decoder.
        coordinate_fusion: `"conv"` or `"linear"`, see `layers.CMAM`.
        gate: `"residual"` or `"centred"`, see `layers.CMAM`.
        sentence: `"mean"` of the words or `"last"` word, what the decoder
            knows of the sentence.
        modulation: `"through"`, the modulated feature of a stage is the
            input of the next (the paper), or `"beside"` the backbones, which
            then see the frames alone.
        class_prior: int. Rank of the words' directions in a `ClassPrior`,
            whose map the decoder sees too; 0 for none (the paper).
        width: float. Multiplier of the channels of backbones, text encoders,
            keys and decoder, to the nearest multiple of 8.
        decoder_channels: int. Width of the decoder, before `width`.
        key_channels: int. C_M of the CMAMs, before `width`.
        text_channels: int. C_L, before `width`.
        embedding_dim: int. Length of a word vector.
        train_embeddings: bool. Whether word vectors are trained.
        num_frames: int. T; the target is frame T // 2.
        deep_supervision: bool. Add the mask heads of stages 2 to 5, which
            only training needs.
        attention_maps: bool. Also output the attention map of every CMAM.
        synchronized: bool. Batch statistics over all replicas
            (TensorFlow only).

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

    def __init__(
        self,
        vocabulary_size=1312,
        encoders="both",
        spatial_backbone="inception_v3",
        temporal_backbone="i3d",
        fusion="lgfs",
        cmam_stages=STAGES,
        coordinate_fusion="conv",
        gate="residual",
        sentence="mean",
        modulation="through",
        class_prior=0,
        width=1.0,
        decoder_channels=256,
        key_channels=256,
        text_channels=300,
        embedding_dim=300,
        train_embeddings=False,
        num_frames=8,
        deep_supervision=False,
        attention_maps=False,
        synchronized=False,
        name="cstm",
        **kwargs,
    ):
        config = {
            "vocabulary_size": vocabulary_size,
            "encoders": encoders,
            "spatial_backbone": spatial_backbone,
            "temporal_backbone": temporal_backbone,
            "fusion": fusion,
            "cmam_stages": tuple(sorted(cmam_stages)),
            "coordinate_fusion": coordinate_fusion,
            "gate": gate,
            "sentence": sentence,
            "modulation": modulation,
            "class_prior": class_prior,
            "width": width,
            "decoder_channels": decoder_channels,
            "key_channels": key_channels,
            "text_channels": text_channels,
            "embedding_dim": embedding_dim,
            "train_embeddings": train_embeddings,
            "num_frames": num_frames,
            "deep_supervision": deep_supervision,
            "attention_maps": attention_maps,
            "synchronized": synchronized,
        }
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
            name="word_embedding",
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
                    vocabulary_size, class_prior, name=part_names.CLASS_PRIOR
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
            inputs={"frames": frames, "tokens": tokens},
            outputs=outputs,
            name=name,
            **kwargs,
        )
        self._arguments = config

    def get_config(self):
        return {**self._arguments, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _target_frame(feature):
    """The slice at T_i // 2 of a temporal feature; a spatial one as it is."""
    if len(feature.shape) == 4:
        return feature
    return feature[:, feature.shape[1] // 2]


def _check_choice(argument, value, choices):
    if value not in choices:
        raise ValueError(
            f"{argument} must be one of {sorted(choices)}. "
            f"Received: {argument}={value!r}"
        )
