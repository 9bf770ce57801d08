"""Names of the layers of CSTM by which its parts are found."""

ENCODERS = ("spatial_", "temporal_")


WORD_VECTORS = "word_embedding"
CLASS_PRIOR = "class_prior"
