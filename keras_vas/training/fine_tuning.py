"""What a training leaves as it is, and how fast statistics follow."""

import keras

from keras_vas.errors import UserError


def freeze(model, part):
    """Freezes a part of the model, batch statistics included.

    Args:
        model: `SegmentationModel`.
        part: a key of its `parts`, such as `"backbones"`, what pretrained
            weights were loaded into, which leaves text encoders, CMAMs and
            decoder to train; or `"encoders"`, with the word vectors, which
            leaves the decoder.

    Raises:
        UserError: the model has no such part, or no layers in it.
    """
    layers = model.layers_of(part)
    if part != "none" and not layers:
        raise UserError(
            f"--freeze={part}: {model.name} with this backbone has no such "
            "layers; give --freeze=backbones or none"
        )
    for layer in layers:
        layer.trainable = False


def set_statistics_momentum(model, momentum):
    """Sets how slowly batch normalization's moving statistics follow.

    With a momentum of 0.99, training for less than about 500 steps leaves
    them behind the weights, and inference worse than training.

    Args:
        model: `SegmentationModel`, before its first training step.
        momentum: float in [0, 1).
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
