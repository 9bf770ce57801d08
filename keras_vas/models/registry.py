"""Models by name."""

from keras_vas.models.cstm.cstm import CSTM

MODELS = {"cstm": CSTM}


def from_config(config):
    """The model that the dict of a run's config.json describes."""
    return MODELS[config.get("architecture", "cstm")].from_config(
        config["model"]
    )
