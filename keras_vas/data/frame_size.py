"""The sizes at which a model can see frames."""

SIZE_MULTIPLE = 32
SIDES = range(SIZE_MULTIPLE, 4097, SIZE_MULTIPLE)


def check_size(height, width):
    """Raises a ValueError unless both sizes are multiples of 32 up to 4096.

    Args:
        height: int, pixels.
        width: int, pixels.
    """
    sizes = {"height": height, "width": width}
    if all(size in SIDES for size in sizes.values()):
        return
    nearest = []
    for name, size in sizes.items():
        below = size // SIZE_MULTIPLE * SIZE_MULTIPLE
        below = min(max(below, SIDES[0]), SIDES[-1])
        if size == below:
            continue
        above = below + SIZE_MULTIPLE
        between = SIDES[0] < size < SIDES[-1]
        nearest.append(f"{name} {below}" + (f" or {above}" if between else ""))
    raise ValueError(
        f"Frame sizes must be positive multiples of {SIZE_MULTIPLE} up to "
        f"{SIDES[-1]}; the nearest are {', '.join(nearest)}. Received: "
        f"height={height}, width={width}"
    )
