"""Frames to five stages of modulated features, in 2-D and in 3-D alike."""

from keras_vas.backbones import STAGES
from keras_vas.layers.cmam import CMAM


def visual_encoder(
    backbone,
    frames,
    words,
    word_mask,
    *,
    cmam_stages,
    cmam_arguments,
    name,
    attention_maps=False,
):
    """Adds a backbone with CMAM after its stages (figure 2, left).

    The modulated feature of a stage is the input of the next.

    Args:
        backbone: one of `keras_vas.backbones`.
        frames: pixel values 0..255, `(batch, [time,] height, width, 3)`.
        words: L, `(batch, words, text_channels)`.
        word_mask: bool `(batch, words)`.
        cmam_stages: the stages that have a CMAM.
        cmam_arguments: dict of arguments of `CMAM`.
        name: prefix of the names of the CMAM layers.
        attention_maps: also return the attention maps of the CMAMs.

    Returns:
        `(features, attention)`: dicts from stage to the modulated feature,
        `(batch, [time,] height / 2^i, width / 2^i, channels)`, and to the
        attention map, empty unless `attention_maps`.
    """
    features, attention = {}, {}
    x = backbone.preprocess(frames)
    for stage in STAGES:
        x = backbone.stage(stage, x)
        if stage in cmam_stages:
            cmam = CMAM(
                return_attention=attention_maps,
                name=f"{name}_cmam_{stage}",
                **cmam_arguments,
            )
            x = cmam(x, words, word_mask)
            if attention_maps:
                x, attention[stage] = x
        features[stage] = x
    return features, attention
