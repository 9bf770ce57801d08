"""The bytes of a `tf.train.Example`, written and read without TensorFlow."""

from google.protobuf.message import DecodeError

from keras_vas.data.records import messages

_Example = messages.define(
    {
        "Example": {"features": (1, "Features")},
        "Features": {"feature": (1, ["Entry"])},
        "Entry": {"key": (1, "string"), "value": (2, "Feature")},
        "Feature": {
            "bytes_list": (1, "BytesList"),
            "int64_list": (3, "Int64List"),
        },
        "BytesList": {"value": (1, ["bytes"])},
        "Int64List": {"value": (1, ["int64"])},
    }
)["Example"]


def encode_example(features):
    """Serializes a dict as a `tf.train.Example`.

    Args:
        features: dict from name to a list of `bytes` or a list of `int`
            (signed 64 bit). An empty list is written as an absent value.

    Returns:
        `bytes`; the fields stand in the order of the dict, so that equal
        dicts give equal bytes.
    """
    example = _Example()
    for name, values in features.items():
        feature = example.features.feature.add(key=name).value
        feature.SetInParent()
        if values and isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif values:
            feature.int64_list.value.extend(values)
    return example.SerializeToString()


def decode_example(serialized):
    """Reads the bytes of a `tf.train.Example` that holds no floats.

    Args:
        serialized: `bytes`.

    Returns:
        dict from name to a list of `bytes` or of `int`.

    Raises:
        ValueError: the bytes are no such message.
    """
    try:
        example = _Example.FromString(serialized)
    except DecodeError as error:
        raise ValueError(
            "The bytes must be a whole tf.train.Example."
        ) from error
    return {
        entry.key: list(
            entry.value.bytes_list.value or entry.value.int64_list.value
        )
        for entry in example.features.feature
    }
