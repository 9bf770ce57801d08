"""Features of two encoders to a mask (section 3.3)."""

import keras

from keras_vas.backbones import STAGES
from keras_vas.layers.coordinates import Coordinates
from keras_vas.layers.lgfs import LGFS
from keras_vas.layers.sentence_convolution import SentenceConvolution

FUSIONS = ("add", "max", "lgfs")


def mask_decoder(
    features,
    sentences,
    *,
    prior=None,
    fusion,
    concatenation_stages,
    channels,
    deep_supervision=False,
    synchronized=False,
):
    """Adds the decoder: laterals, fusion, top-down addition, mask heads.

        V_F^i = fusion of the encoders' laterals               (8)
        V_D^5 = V_F^5,  V_D^i = V_F^i + Upsample(V_D^(i+1))    (9)

    A lateral is a 3x3 convolution, batch normalization and ReLU, to one
    width for all stages, because equation 9 adds them. It sees the
    coordinates of its cells beside the feature: the CMAM takes a mean over
    positions, so that with linear coordinate fusion nothing else could tell
    left from right.

    Args:
        features: dict from encoder (`"spatial"`, `"temporal"`) to a dict
            from stage to the feature of the target frame,
            `(batch, height / 2^i, width / 2^i, channels)`.
        sentences: dict from encoder to its sentence feature,
            `(batch, text_channels)`.
        prior: what the laterals see too, `(batch, height / 32, width / 32,
            channels)`, upsampled for the finer stages.
        fusion: `"add"`, `"max"` or `"lgfs"`; used with two encoders only.
        concatenation_stages: the stages without a CMAM, where the sentence
            is concatenated to the feature instead (rows 1 to 4 of table 3a).
        channels: width of the decoder.
        deep_supervision: add a mask head at every stage, not only at the
            finest; for training.
        synchronized: batch statistics over all replicas (TensorFlow only).

    Returns:
        Dict from stage to mask logits, `(batch, height / 2^i, width / 2^i,
        1)`; only stage 1 unless `deep_supervision`.
    """
    if fusion not in FUSIONS:
        raise ValueError(
            f"fusion must be one of {FUSIONS}. Received: fusion={fusion!r}"
        )
    sentence = _join(list(sentences.values()), name="decoder_sentence")
    logits = {}
    x, guide = None, prior
    for stage in reversed(STAGES):
        if guide is not None and stage != STAGES[-1]:
            guide = upsampling(f"decoder_prior_{stage}")(guide)
        laterals = [
            _lateral(
                maps[stage],
                guide,
                sentences[encoder] if stage in concatenation_stages else None,
                channels,
                f"decoder_{encoder}_lateral_{stage}",
                synchronized,
            )
            for encoder, maps in features.items()
        ]
        fused = _fuse(laterals, sentence, fusion, f"decoder_{fusion}_{stage}")
        if x is None:
            x = fused
        else:
            above = upsampling(f"decoder_upsampling_{stage}")(x)
            x = keras.layers.Add(name=f"decoder_sum_{stage}")([fused, above])
        if deep_supervision or stage == STAGES[0]:
            logits[stage] = _mask_head(x, channels, f"decoder_head_{stage}")
    return logits


def upsampling(name, dtype=None):
    """The layer that doubles height and width bilinearly (equation 9)."""
    return keras.layers.UpSampling2D(
        2, interpolation="bilinear", name=name, dtype=dtype
    )


def _lateral(feature, guide, sentence, channels, name, synchronized):
    located = [feature, Coordinates(name=f"{name}_coordinates")(feature)]
    located += [] if guide is None else [guide]
    x = keras.layers.Concatenate(name=f"{name}_concat")(located)
    x = keras.layers.Conv2D(
        channels, 3, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    if sentence is not None:
        x = SentenceConvolution(name=f"{name}_sentence")(x, sentence)
    x = keras.layers.BatchNormalization(
        synchronized=synchronized, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _fuse(laterals, sentence, fusion, name):
    if len(laterals) == 1:
        return laterals[0]
    if fusion == "add":
        return keras.layers.Add(name=name)(laterals)
    if fusion == "max":
        return keras.layers.Maximum(name=name)(laterals)
    return LGFS(name=name)(*laterals, sentence)


def _join(tensors, name):
    if len(tensors) == 1:
        return tensors[0]
    return keras.layers.Concatenate(name=name)(tensors)


def _mask_head(x, channels, name):
    for number in (1, 2):
        x = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="relu",
            name=f"{name}_conv_{number}",
        )(x)
    return keras.layers.Conv2D(1, 1, name=f"{name}_logits")(x)
