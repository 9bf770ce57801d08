"""Backbones by name, those of table 3d.

To add one, write its file, a subclass of `Backbone`, and name it here.
"""

import importlib


def _found(names):
    """Dict from name to class, given "module.Class" of this package."""
    found = {}
    for name, path in names.items():
        module, _, class_name = path.partition(".")
        module = importlib.import_module(f"{__name__}.{module}")
        found[name] = getattr(module, class_name)
    return found


SPATIAL_BACKBONES = _found(
    {
        "inception_v3": "inception_v3.InceptionV3",
        "resnet50": "resnet50.ResNet50",
        "vgg16": "vgg16.VGG16",
    }
)
TEMPORAL_BACKBONES = _found(
    {
        "i3d": "i3d.I3D",
        "s3d": "s3d.S3D",
        "s3d_g": "s3d.S3DG",
    }
)
STAGES = (1, 2, 3, 4, 5)
