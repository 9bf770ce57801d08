"""Protocol buffer messages from a table of their fields, without a compiler.

Converters run one process per core; TensorFlow, whose package holds the
classes of `tf.train.Example`, would cost each of them half a gigabyte and
three seconds before its first frame.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
}


def define(table):
    """Makes the classes of some messages that name each other.

    A map is written as what it is on the wire, a repeated message of the
    fields key = 1 and value = 2: its entries then keep their order.

    Args:
        table: dict from a message's name to a dict from field name to
            (number, type). A type is "bytes", "int64", "string" or a
            message's name, in a list if the field is repeated.

    Returns:
        dict from a message's name to its class.
    """
    file = descriptor_pb2.FileDescriptorProto(name="messages", syntax="proto3")
    for name, fields in table.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = isinstance(kind, list)
            kind = kind[0] if repeated else kind
            message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED
                if repeated
                else _Field.LABEL_OPTIONAL,
                type=_SCALARS.get(kind, _Field.TYPE_MESSAGE),
                type_name=None if kind in _SCALARS else f".{kind}",
            )
    # A pool of its own, so that TensorFlow's messages may have these names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in table
    }
