"""What a user calls has types, as py.typed says."""

import inspect
import typing

import pytest

import keras_vas
from keras_vas import layers, losses, metrics
from keras_vas.prediction import predictor, result
from keras_vas.serving.client import client
from keras_vas.video import reader

CALLED = (
    predictor.load,
    predictor.Predictor.segment,
    predictor.Predictor.stream,
    predictor.Predictor.attention,
    result.Segmentation.overlay,
    result.Segmentation.save,
    reader.open_video,
    client.ServingClient.__init__,
    client.ServingClient.segment,
    keras_vas.CSTM.__init__,
    layers.CMAM.__init__,
    layers.ClassPrior.__init__,
    layers.SentenceConvolution.__init__,
    losses.segmentation_loss,
    metrics.iou,
    metrics.coco_map,
    metrics.protocol,
)


@pytest.mark.parametrize("function", CALLED, ids=lambda x: x.__qualname__)
def test_what_a_user_calls_has_types(function):
    types = typing.get_type_hints(function)
    untyped = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in types
        and name not in ("self", "mask")  # a mask is any backend's tensor
        and parameter.kind is not parameter.VAR_KEYWORD
    ]
    assert not untyped
