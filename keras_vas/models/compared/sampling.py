"""Values of a map between its cells."""

from keras import ops


def sample(x, rows, columns):
    """Bilinear values of a map at any places; outside it is zero.

    The gradient reaches the map and the places.

    Args:
        x: `(batch, height, width, channels)`.
        rows: float32 `(batch, ...)`, counted in cells from the first row.
        columns: float32 of the same shape, likewise.

    Returns:
        `(batch, ..., channels)`.
    """
    batch, height, width, channels = ops.shape(x)
    cells = ops.reshape(x, (batch * height * width, channels))
    first = ops.arange(batch, dtype="int32") * height * width
    first = ops.reshape(first, (batch, *[1] * (len(rows.shape) - 1)))
    bottom = ops.cast(height - 1, "float32")
    right = ops.cast(width - 1, "float32")
    top, left = ops.floor(rows), ops.floor(columns)
    total = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = (1 - ops.abs(rows - row)) * (1 - ops.abs(columns - column))
            inside = (row >= 0) & (row <= bottom) & (column >= 0)
            inside = ops.cast(inside & (column <= right), "float32")
            place = ops.cast(ops.clip(row, 0.0, bottom), "int32") * width
            place += ops.cast(ops.clip(column, 0.0, right), "int32")
            weight = ops.cast(weight * inside, x.dtype)[..., None]
            total += ops.take(cells, first + place, axis=0) * weight
    return total


def grid(x):
    """Rows `(1, height, 1)` and columns `(1, 1, width)` of a map, float32."""
    shape = ops.shape(x)
    rows = ops.cast(ops.arange(shape[1]), "float32")[None, :, None]
    return rows, ops.cast(ops.arange(shape[2]), "float32")[None, None]
