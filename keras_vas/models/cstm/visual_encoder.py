"""Frames to five stages of modulated features, in 2-D and in 3-D alike."""

from keras_vas.backbones import STAGES
from keras_vas.layers.cmam import CMAM

MODULATIONS = ("through", "beside")


def visual_encoder(
    backbone,
    frames,
    words,
    word_mask,
    *,
    cmam_stages,
    cmam_arguments,
    name,
    modulation="through",
    attention_maps=False,
):
    """Adds a backbone with CMAM after its stages (figure 2, left).

    The modulated feature of a stage is the input of the next, or, with the
    modulation "beside" the backbone, a branch of its own: then the backbone
    depends on the frames alone, and pretrained features stay as they are.

    Args:
        backbone: one of `keras_vas.backbones`.
        frames: pixel values 0..255, `(batch, [time,] height, width, 3)`.
        words: L, `(batch, words, text_channels)`.
        word_mask: bool `(batch, words)`.
        cmam_stages: the stages that have a CMAM.
        cmam_arguments: dict of arguments of `CMAM`.
        name: prefix of the names of the CMAM layers.
        modulation: a member of `MODULATIONS`.
        attention_maps: also return the attention maps of the CMAMs.

    Returns:
        `(features, attention, last)`: dicts from stage to the modulated
        feature, `(batch, [time,] height / 2^i, width / 2^i, channels)`, and
        to the attention map, empty unless `attention_maps`; and the feature
        of stage 5 before its CMAM.
    """
    features, attention = {}, {}
    x = backbone.preprocess(frames)
    for stage in STAGES:
        x = last = backbone.stage(stage, x)
        features[stage] = x
        if stage in cmam_stages:
            cmam = CMAM(
                return_attention=attention_maps,
                name=f"{name}_cmam_{stage}",
                **cmam_arguments,
            )
            modulated = cmam(x, words, word_mask)
            if attention_maps:
                modulated, attention[stage] = modulated
            features[stage] = modulated
            if modulation == "through":
                x = modulated
    return features, attention, last
