"""Models by name: the flag --model of train.py, and a run's config.json.

To add one, write its folder, a subclass of `SegmentationModel`, and name it
here; training, evaluation, export and prediction then know it.
"""

import importlib

_COMPARED = "keras_vas.models.compared"
MODELS = {
    "cstm": "keras_vas.models.cstm.cstm.CSTM",
    "cstm_authors": "keras_vas.models.cstm_authors.cstm_authors.AuthorsCSTM",
    "acga": f"{_COMPARED}.acga.ACGA",
    "gavrilyuk": f"{_COMPARED}.gavrilyuk.Gavrilyuk",
    "gavrilyuk_flow": f"{_COMPARED}.gavrilyuk_flow.GavrilyukFlow",
    "hu": f"{_COMPARED}.hu.Hu",
    "li": f"{_COMPARED}.li.Li",
    "cmdy": f"{_COMPARED}.cmdy.CMDy",
    "vt_capsule": f"{_COMPARED}.vt_capsule.VTCapsule",
}
DEFAULT = "cstm"


def model_class(name):
    """The class of a model, a `SegmentationModel`.

    Args:
        name: a key of `MODELS`.

    Raises:
        ValueError: there is no such model.
    """
    if name not in MODELS:
        raise ValueError(
            f"model must be one of {', '.join(MODELS)}. Received: model={name}"
        )
    module, _, class_name = MODELS[name].rpartition(".")
    return getattr(importlib.import_module(module), class_name)


def name_of(config):
    """The name in the dict of a run's config.json; an older one has none."""
    return config.get("architecture", DEFAULT)


def from_config(config):
    """The model that the dict of a run's config.json describes."""
    return model_class(name_of(config)).from_config(config["model"])
