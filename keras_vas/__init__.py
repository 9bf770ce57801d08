"""Language-queried video actor segmentation in Keras.

`CSTM` is the model of Hui et al., "Collaborative Spatial-Temporal Modeling
for Language-Queried Video Actor Segmentation", CVPR 2021; `layers` holds its
two modules, CMAM and LGFS. Both run on every Keras backend. `load` reads a
trained model that segments videos.
"""

import importlib
import typing

from keras_vas import quiet_tensorflow

__version__ = "0.2.0"
__all__ = ["CSTM", "layers", "load"]

if typing.TYPE_CHECKING:
    from keras_vas import layers as layers
    from keras_vas.models.cstm.cstm import CSTM as CSTM
    from keras_vas.prediction.predictor import load as load

quiet_tensorflow.install()


def __getattr__(name):
    """Imports Keras only when it is used: converters need no Keras."""
    if name == "CSTM":
        return importlib.import_module("keras_vas.models.cstm.cstm").CSTM
    if name == "layers":
        return importlib.import_module("keras_vas.layers")
    if name == "load":
        return importlib.import_module("keras_vas.prediction.predictor").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
