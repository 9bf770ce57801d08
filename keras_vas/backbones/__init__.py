"""Backbones by name.

A backbone is a class with `rank` (2 for images, 3 for clips), `channels`
(of its five stages at width 1) and two methods that add layers to a
functional graph: `preprocess(frames)` and `stage(number, x)` for stages 1 to
5 at strides 2 to 32. To add one, write its file and name it here.
"""

from keras_vas.backbones.i3d import I3D
from keras_vas.backbones.inception_v3 import InceptionV3

SPATIAL_BACKBONES = {"inception_v3": InceptionV3}
TEMPORAL_BACKBONES = {"i3d": I3D}
STAGES = (1, 2, 3, 4, 5)
