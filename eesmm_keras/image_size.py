"""The size of the images that a model takes: one number for squares, or height and width."""

LARGEST = 4096


def both_sides(size):
    """`64` -> `(64, 64)`; `(64, 96)` -> `(64, 96)`: height and width in pixels.

    Raises:
        ValueError: neither a whole number nor two of them, or out of the range 1 to 4096.
    """
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(1 <= side <= LARGEST for side in sides):
        raise ValueError(f"expected N or H,W in whole numbers from 1 to {LARGEST}, got {size!r}")
    return sides


def plain_size(size):
    """The shortest form of a size, in types that YAML has: `64` for `(64, 64)`, else `[64, 96]`."""
    height, width = both_sides(size)
    return height if height == width else [height, width]


def in_words(size):
    """`64` -> "64", `(64, 96)` -> "64x96", height first."""
    height, width = both_sides(size)
    return str(height) if height == width else f"{height}x{width}"
