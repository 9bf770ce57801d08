"""The bytes of a record to tensors, within a graph."""

import numpy as np
import tensorflow as tf

from keras_vas.data.records import schema


def parse(serialized):
    """Reads a record in a TensorFlow graph, for `tf.data`.

    Args:
        serialized: scalar string tensor, one record.

    Returns:
        dict of tensors: scalars `schema_version`, `frame_number`, `height`,
        `width` (int64) and `key`, `dataset`, `video_id`, `subset` (string);
        `clip_frames` (`CLIP_LENGTH`,) JPEG strings, `clip_frame_numbers`
        (`CLIP_LENGTH`,) int64; `actor_ids`, `actor_masks` (PNG), `actor_looks`,
        `actor_actions` (actors,) string; `query_texts` (queries,) string,
        `query_actors` (queries,) int64, indices into the actors.

    Raises:
        tf.errors.InvalidArgumentError: another schema version, or no record.
    """
    version = tf.io.parse_single_example(
        serialized,
        {schema.SCHEMA_VERSION_FIELD: tf.io.FixedLenFeature([], tf.int64, -1)},
    )[schema.SCHEMA_VERSION_FIELD]
    right_version = tf.debugging.assert_equal(
        version,
        np.int64(schema.SCHEMA_VERSION),
        "The record is of another schema version: write the records again.",
    )
    # The assertion is None when executing eagerly.
    with tf.control_dependencies([right_version] if right_version else []):
        serialized = tf.identity(serialized)

    dtypes = {int: tf.int64, bytes: tf.string}
    return tf.io.parse_single_example(
        serialized,
        {
            name: tf.io.FixedLenSequenceFeature(
                [], dtypes[kind], allow_missing=True
            )
            if count is None
            else tf.io.FixedLenFeature(
                [] if count == 1 else [count], dtypes[kind]
            )
            for name, (kind, count) in schema.FIELDS.items()
        },
    )
