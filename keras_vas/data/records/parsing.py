"""Reading a record without TensorFlow; `schema` defines it."""

from keras_vas.data.records import example_proto, schema


def deserialize(serialized):
    """Reads a record without TensorFlow: what `schema.serialize` wrote.

    Args:
        serialized: `bytes` of one record.

    Returns:
        `AnnotatedFrame`; its clip holds JPEG `bytes`, its masks are decoded.

    Raises:
        ValueError: another schema version, or fields that are missing, of
            another kind, or do not fit together.
    """
    fields = example_proto.decode_example(serialized)
    version = fields.get(schema.SCHEMA_VERSION_FIELD)
    if version != [schema.SCHEMA_VERSION]:
        raise ValueError(
            f"The record must be of schema version {schema.SCHEMA_VERSION}. "
            f"Received: schema_version={version[0] if version else None}"
        )
    for name, (kind, count) in schema.FIELDS.items():
        values = fields.get(name)
        if (
            values is None
            or count not in (None, len(values))
            or not all(isinstance(value, kind) for value in values)
        ):
            raise ValueError(
                f"The record's field {name} must hold {count or 'any number'} "
                f"of {kind.__name__}. Received: {_shown(values)}"
            )
    frame = _from_fields(fields)
    schema.check(frame)
    if fields[schema.KEY] != [frame.key.encode()]:
        raise ValueError(
            "The record's key must name its data set, video and frame. "
            f"Received: key={fields[schema.KEY][0]!r}"
        )
    return frame


def check_clip(frame):
    """Decodes the clip of an `AnnotatedFrame` of JPEG `bytes`.

    Raises:
        ValueError: a frame is no JPEG, or of another size than the record.
    """
    for data in frame.clip:
        shape = schema.decode_jpeg(data).shape
        if shape[:2] != (frame.height, frame.width):
            raise ValueError(
                "A clip's frame must be of the record's size. "
                f"Received: shape={shape}"
            )


def _from_fields(fields):
    def one(name):
        value = fields[name][0]
        return value.decode() if isinstance(value, bytes) else value

    def texts(name):
        return [value.decode() for value in fields[name]]

    actors = zip(
        texts(schema.ACTOR_IDS),
        [schema.decode_mask(data) for data in fields[schema.ACTOR_MASKS]],
        texts(schema.ACTOR_LOOKS),
        texts(schema.ACTOR_ACTIONS),
        strict=True,
    )
    queries = zip(
        texts(schema.QUERY_TEXTS), fields[schema.QUERY_ACTORS], strict=True
    )
    return schema.AnnotatedFrame(
        dataset=one(schema.DATASET),
        video_id=one(schema.VIDEO_ID),
        subset=one(schema.SUBSET),
        frame_number=one(schema.FRAME_NUMBER),
        clip=list(fields[schema.CLIP_FRAMES]),
        clip_frame_numbers=list(fields[schema.CLIP_FRAME_NUMBERS]),
        height=one(schema.HEIGHT),
        width=one(schema.WIDTH),
        actors=tuple(schema.Actor(*actor) for actor in actors),
        queries=tuple(schema.Query(*query) for query in queries),
    )


def _shown(values):
    if values is None:
        return "nothing"
    kinds = sorted({type(value).__name__ for value in values})
    return f"{len(values)} of {' and '.join(kinds) or 'anything'}"
