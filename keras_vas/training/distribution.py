"""Devices and machines: the strategy, and what each process does."""

import json
import os

import tensorflow as tf

from keras_vas.errors import UserError


def make_strategy():
    """The strategy for this machine, or for TF_CONFIG's machines.

    Call it before anything else uses TensorFlow.

    Returns:
        `MultiWorkerMirroredStrategy` where TF_CONFIG names a cluster, else
        `MirroredStrategy` over all GPUs, or over all CPU devices.
    """
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}")
    except ValueError as error:
        raise UserError(f"TF_CONFIG is no JSON text: {error}") from error
    if cluster.get("cluster"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    tf.get_logger().setLevel("WARNING")
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def is_chief(strategy):
    """Whether this process writes files (one process of all does)."""
    return strategy.extended.should_checkpoint


def share(context):
    """The part of the batches that a `tf.distribute.InputContext` makes.

    Returns:
        Dict of `worker`, `workers` and `replicas` (of each worker), as the
        functions of `data.pipeline` take them.
    """
    workers = context.num_input_pipelines
    return {
        "worker": context.input_pipeline_id,
        "workers": workers,
        "replicas": context.num_replicas_in_sync // workers,
    }


def gather_rows(rows, total):
    """The rows of all replicas in their order, in replica context.

    (`ReplicaContext.all_gather` fails in a graph of several workers.)

    Args:
        rows: tensor `(total / replicas, ...)`.
        total: int.

    Returns:
        Tensor `(total, ...)`, the same in all replicas.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return rows
    before = context.replica_id_in_sync_group * tf.shape(rows)[0]
    after = total - before - tf.shape(rows)[0]
    ends = [[0, 0]] * (rows.shape.rank - 1)
    padded = tf.pad(rows, [[before, after], *ends])
    return context.all_reduce(tf.distribute.ReduceOp.SUM, padded)
