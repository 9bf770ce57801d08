"""The bytes of a `tf.train.Example`, written and read without TensorFlow.

Converters run one process per core; TensorFlow would cost each of them half
a gigabyte and three seconds before its first frame. The message is small:

    Example     { Features features = 1; }
    Features    { map<string, Feature> feature = 1; }
    Feature     { oneof { BytesList bytes_list = 1; Int64List int64_list = 3; }}
    BytesList   { repeated bytes value = 1; }
    Int64List   { repeated int64 value = 1 [packed]; }
"""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_UINT64 = (1 << 64) - 1


def encode_example(features):
    """Serializes a dict as a `tf.train.Example`.

    Args:
        features: dict from name to a list of `bytes` or a list of `int`
            (signed 64 bit). An empty list is written as an absent value.

    Returns:
        `bytes`; the fields stand in the order of the dict, so that equal
        dicts give equal bytes.
    """
    entries = []
    for name, values in features.items():
        if not values:
            feature = b""
        elif isinstance(values[0], bytes):
            feature = _field(1, b"".join(_field(1, v) for v in values))
        else:
            packed = b"".join(_varint(v & _UINT64) for v in values)
            feature = _field(3, _field(1, packed))
        entry = _field(1, name.encode()) + _field(2, feature)
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def decode_example(serialized):
    """Reads the bytes of a `tf.train.Example` that holds no floats.

    Args:
        serialized: `bytes`.

    Returns:
        dict from name to a list of `bytes` or of `int`.

    Raises:
        ValueError: the bytes are no such message.
    """
    features = {}
    for features_message in _messages(memoryview(serialized), 1):
        for entry in _messages(features_message, 1):
            name, values = "", []
            for number, value in _fields(entry):
                if number == 1:
                    name = bytes(value).decode()
                elif number == 2:
                    values = _decode_feature(value)
            features[name] = values
    return features


def _decode_feature(message):
    values = []
    for kind, content in _fields(message):
        if kind == 1:
            values += [bytes(v) for v in _messages(content, 1)]
        elif kind == 3:
            for _, value in _fields(content):
                values += [value] if isinstance(value, int) else _packed(value)
    return [v if isinstance(v, bytes) else _signed(v) for v in values]


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


def _packed(content):
    values, at = [], 0
    while at < len(content):
        value, at = _read_varint(content, at)
        values.append(value)
    return values


def _messages(content, wanted):
    for number, value in _fields(content):
        if number == wanted and not isinstance(value, int):
            yield value


def _fields(content):
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _read_varint(content, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, at = _read_varint(content, at)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError("The bytes must be a protocol buffer message.")
        if at + size > len(content):
            raise ValueError("The message must not be cut short.")
        yield number, content[at : at + size]
        at += size


def _field(number, content):
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(content, at):
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("The message must not be cut short.")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
