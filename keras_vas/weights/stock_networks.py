"""The networks of keras.applications, as a source and as a reference."""

import h5py
import keras
import numpy as np

from keras_vas import packed_files
from keras_vas.errors import UserError

_NETWORKS = {
    "inception_v3": (
        keras.applications.InceptionV3,
        keras.applications.inception_v3.preprocess_input,
    ),
    "resnet50": (
        keras.applications.ResNet50,
        keras.applications.resnet50.preprocess_input,
    ),
}
ARCHITECTURES = tuple(_NETWORKS)
_TOPS = {"predictions", "dense"}
_RESNET_STAGES = (
    "conv1_relu",
    "conv2_block3_out",
    "conv3_block4_out",
    "conv4_block6_out",
    "conv5_block3_out",
)


def build(architecture):
    """The stock network without its top, for frames of any size."""
    make, _ = _NETWORKS[architecture]
    return make(weights=None, include_top=False, input_shape=(None, None, 3))


def stages(model, architecture):
    """A stock network that gives the list of its five stages instead."""
    if architecture == "resnet50":
        ends = [model.get_layer(name).output for name in _RESNET_STAGES]
    else:
        pools = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.MaxPooling2D)
        ]
        ends = [pool.input for pool in pools[:2]]
        ends += [model.get_layer(f"mixed{i}").output for i in (2, 7, 10)]
    return keras.Model(model.input, ends)


def preprocess(architecture, frames):
    """RGB frames 0..255 to what the stock network expects."""
    return _NETWORKS[architecture][1](np.array(frames, np.float32))


def load(architecture, path):
    """A stock network with the weights of a file, read by Keras itself.

    Args:
        architecture: one of `ARCHITECTURES`.
        path: `.h5` or `.weights.h5` file, with or without the layer of the
            classes.

    Returns:
        `keras.Model`.

    Raises:
        UserError: Keras cannot load it.
    """
    make, _ = _NETWORKS[architecture]
    try:
        with h5py.File(path, "r") as file:
            layers = file.get("model_weights", file.get("layers", file))
            top = not _TOPS.isdisjoint(layers)
        return make(weights=str(path), include_top=top)
    except Exception as error:
        raise UserError(
            f"keras.applications cannot load {path} "
            f"({packed_files.one_line(error)}); give its own file"
        ) from error


def arrays(model):
    """Dict of `layer/variable` to the arrays of a stock network."""
    return {
        f"{layer.name}/{variable.name}": variable.numpy()
        for layer in model.layers
        for variable in layer.variables
    }


def same_padded(model):
    """A copy of a stock network and its weights, padded SAME everywhere."""

    def copy(layer):
        config = layer.get_config()
        if "padding" in config:
            config["padding"] = "same"
        return type(layer).from_config(config)

    padded = keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        if layer.variables:
            padded.get_layer(layer.name).set_weights(layer.get_weights())
    return padded
