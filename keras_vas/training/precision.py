"""The precision of a training's arithmetic."""

import keras
import tensorflow as tf

from keras_vas.errors import UserError

NAMES = ("float32", "mixed_bfloat16", "mixed_float16")
# TensorFlow 2.21 on a CPU has no float16 pooling in 3-D, and gives NaN in the
# bfloat16 gradient of 3-D convolution kernels, which these leave untrained.
_WITHOUT_3D_GRADIENTS = {
    "freeze": "backbones",
    "modulation": "beside",
    "coordinate_fusion": "linear",
}


def use(precision, flags):
    """Makes new layers compute in a precision.

    Args:
        precision: one of `NAMES`.
        flags: dict of a run's flags.

    Raises:
        UserError: it needs a GPU, and there is none.
    """
    possible = {"float32"}
    if _WITHOUT_3D_GRADIENTS.items() <= flags.items():
        possible.add("mixed_bfloat16")
    if precision not in possible and not tf.config.list_logical_devices("GPU"):
        needed = [f"--{k}={v}" for k, v in _WITHOUT_3D_GRADIENTS.items()]
        raise UserError(
            f"--precision={precision} needs a GPU; on a CPU give float32, or "
            f"mixed_bfloat16 with {' '.join(needed)}"
        )
    keras.config.set_dtype_policy(precision)
