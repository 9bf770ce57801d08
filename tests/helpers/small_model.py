"""A model of a few layers with the inputs and outputs of CSTM, and data."""

import keras
import numpy as np
import tensorflow as tf

from keras_vas.training import distribution, settings
from keras_vas.training import optimizer as optimization
from keras_vas.training import trainer as training_loop
from keras_vas.training.learning_rate import LearningRate
from keras_vas.training.steps import DistributedSteps

BATCH = 4
SAMPLES = 8
SIZE = 32


def data(samples=SAMPLES, seed=0):
    """Dict of arrays: dark squares on noise, the mask says where."""
    rng = np.random.default_rng(seed)
    frames = rng.uniform(100, 255, (samples, 2, SIZE, SIZE, 3))
    mask = np.zeros((samples, SIZE, SIZE, 1), np.float32)
    for i, (y, x) in enumerate(rng.integers(0, SIZE - 12, (samples, 2))):
        mask[i, y : y + 12, x : x + 12] = 1
    frames *= 1 - 0.7 * mask[:, None]
    return {
        "frames": frames.astype(np.float32),
        "tokens": rng.integers(1, 6, (samples, 20)).astype(np.int32),
        "mask": mask,
        "sample": np.arange(samples),
        "weight": np.ones(samples, np.float32),
    }


def model(synchronized=False):
    """One encoder with batch statistics, one decoder, a coarse head."""
    frames = keras.Input((2, None, None, 3), name="frames")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    words = keras.layers.Embedding(6, 8, name="word_embedding")(tokens)
    words = keras.layers.GlobalAveragePooling1D(name="spatial_words")(words)
    x = keras.layers.Rescaling(1 / 255, name="spatial_scale")(frames[:, 1])
    # a bias before batch normalization has no gradient but rounding noise,
    # which Adam would amplify
    x = keras.layers.Conv2D(
        8, 3, padding="same", use_bias=False, name="spatial_conv"
    )(x)
    x = keras.layers.BatchNormalization(
        momentum=0.8, synchronized=synchronized, name="spatial_normalization"
    )(x)
    x = keras.layers.ReLU(name="spatial_relu")(x)
    x = x * keras.layers.Dense(8, name="decoder_gate")(words)[:, None, None]
    fine = keras.layers.Conv2D(1, 3, padding="same", name="decoder_fine")(x)
    x = keras.layers.AveragePooling2D(4, name="decoder_pooling")(x)
    coarse = keras.layers.Conv2D(1, 1, name="decoder_coarse")(x)
    return keras.Model(
        {"frames": frames, "tokens": tokens},
        {"mask_logits": fine, "mask_logits_p2": coarse},
    )


def trainer(
    run,
    *,
    epochs=2,
    arrays=None,
    frozen=False,
    loss_scaling=False,
    lesson=None,
    names_weight=0.0,
    **options,
):
    """A `Trainer` of the small model over all devices of this process."""
    strategy = distribution.make_strategy()
    keras.utils.set_random_seed(3)
    replicas = strategy.num_replicas_in_sync
    arrays = data() if arrays is None else arrays
    plan = training_loop.Plan(epochs, SAMPLES // BATCH, BATCH, 1)

    def batches(context, shuffled, start_step=0):
        part = distribution.share(context)
        count = BATCH // replicas
        first = part["worker"] * part["replicas"]
        steps = epochs * plan.steps_per_epoch if shuffled else 2
        for step in range(start_step, steps):
            rows = np.arange(BATCH) + step % 2 * BATCH
            for replica in range(first, first + part["replicas"]):
                own = rows[replica * count : (replica + 1) * count]
                yield {name: array[own] for name, array in arrays.items()}

    def dataset(*arguments):
        spec = {
            name: tf.TensorSpec((BATCH // replicas, *a.shape[1:]), a.dtype)
            for name, a in arrays.items()
        }
        return tf.data.Dataset.from_generator(
            lambda: batches(*arguments), output_signature=spec
        )

    with strategy.scope():
        network = model(synchronized=replicas > 1)
        if frozen:
            for layer in network.layers:
                if layer.name.startswith(("spatial_", "word_embedding")):
                    layer.trainable = False
        optimizer = optimization.Adam(
            network.trainable_variables,
            LearningRate(0.003, "step", 4, 2),
            clip_norm=0.5,
            weight_decay=0.01,
            ema=0.5,
            loss_scaling=loss_scaling,
        )
        steps = DistributedSteps(
            strategy,
            network,
            optimizer,
            batch_size=BATCH,
            objective=settings.Objective("bce_dice", names_weight=names_weight),
            lessons=[lesson(network)] if lesson else (),
        )
    return training_loop.Trainer(
        steps,
        plan,
        run,
        training_data=lambda step, context: dataset(context, True, step),
        validation_data=lambda context: dataset(context, False),
        **options,
    )
