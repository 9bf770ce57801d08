"""The sizes at which a model can see frames."""

SIZE_MULTIPLE = 32


def check_size(height, width):
    """Raises a ValueError unless both sizes are multiples of 32.

    Args:
        height: int, pixels.
        width: int, pixels.
    """
    sizes = {"height": height, "width": width}
    if all(size > 0 and size % SIZE_MULTIPLE == 0 for size in sizes.values()):
        return
    nearest = []
    for name, size in sizes.items():
        below = max(size // SIZE_MULTIPLE * SIZE_MULTIPLE, SIZE_MULTIPLE)
        if size == below:
            continue
        above = below + SIZE_MULTIPLE
        nearest.append(
            f"{name} {below}" + (f" or {above}" if size > below else "")
        )
    raise ValueError(
        f"Frame sizes must be positive multiples of {SIZE_MULTIPLE}; the "
        f"nearest are {', '.join(nearest)}. Received: height={height}, "
        f"width={width}"
    )
