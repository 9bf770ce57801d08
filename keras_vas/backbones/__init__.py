"""Backbones by name.

To add one, write its file, a subclass of `Backbone`, and name it here.
"""

from keras_vas.backbones.i3d import I3D
from keras_vas.backbones.inception_v3 import InceptionV3

SPATIAL_BACKBONES = {"inception_v3": InceptionV3}
TEMPORAL_BACKBONES = {"i3d": I3D}
STAGES = (1, 2, 3, 4, 5)
