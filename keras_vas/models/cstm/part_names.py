"""Names of the layers of CSTM by which its parts are found; its results."""

from keras_vas.models.segmentation_model import WORD_VECTORS

CLASS_PRIOR = "class_prior"

PARTS = {
    "none": (),
    "spatial": ("spatial_",),
    "temporal": ("temporal_",),
    "spatial_backbone": ("spatial_backbone",),
    "temporal_backbone": ("temporal_backbone",),
    "backbones": ("spatial_backbone", "temporal_backbone"),
    "encoders": ("spatial_", "temporal_", WORD_VECTORS),
}

COSTS = {
    "word vectors": (WORD_VECTORS,),
    "spatial text encoder": ("spatial_text",),
    "spatial backbone": ("spatial_backbone",),
    "spatial CMAM": ("spatial_cmam",),
    "temporal text encoder": ("temporal_text",),
    "temporal backbone": ("temporal_backbone",),
    "temporal CMAM": ("temporal_cmam",),
    "decoder laterals": (
        "decoder_spatial_lateral",
        "decoder_temporal_lateral",
    ),
    "decoder LGFS": ("decoder_lgfs",),
    "decoder finest head": ("decoder_head_1",),
    "decoder training heads": tuple(f"decoder_head_{i}" for i in range(2, 6)),
}

RESULTS = {
    "a2d_sentences": (65.4, 58.9, 49.7, 33.3, 9.1, 39.9, 66.2, 56.1),
    "jhmdb_sentences": (78.3, 63.9, 37.8, 7.6, 0.0, 33.5, 59.8, 60.4),
}
