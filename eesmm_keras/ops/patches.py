"""Images as mask units and patches, and back.

A *mask unit* is the square of pixels that ends up in one token of the encoder's last stage. Inside
a unit, patches stand in nested 2x2 (Morton) order, so that merging 2x2 patches is a reshape.
"""

import numpy as np
from keras import ops

from eesmm_keras.device_waits import constant


def patchify(images, patch_size):
    """Cut images into square patches.

    Args:
        images: `(B, H, W, C)`; H and W are multiples of `patch_size`.
        patch_size: side of a patch in pixels.

    Returns:
        `(B, H / patch_size, W / patch_size, patch_size * patch_size * C)`, pixels of a patch in
        row-major order, channels last.
    """
    _, height, width, channels = images.shape
    rows, cols = height // patch_size, width // patch_size
    x = ops.reshape(images, (-1, rows, patch_size, cols, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows, cols, patch_size * patch_size * channels))


def images_to_units(images, unit_size):
    """`(B, H, W, C)` -> `(B, N, unit_size**2 * C)`: mask units in row-major order."""
    x = patchify(images, unit_size)
    return ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))


def units_to_images(units, grid, unit_size):
    """Inverse of `images_to_units`: `(B, N, unit_size**2 * C)` -> `(B, H, W, C)`.

    Args:
        units: pixels of all N = rows * cols mask units, in row-major order.
        grid: `(rows, cols)`.
        unit_size: side of a unit in pixels.
    """
    rows, cols = grid
    channels = units.shape[-1] // (unit_size * unit_size)
    x = ops.reshape(units, (-1, rows, cols, unit_size, unit_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * unit_size, cols * unit_size, channels))


def nested_order(side):
    """Row and column of each patch of a `side x side` unit in nested 2x2 order.

    Four consecutive patches form a 2x2 cell in the order that Swin's patch merging concatenates
    them: (0, 0), (1, 0), (0, 1), (1, 1) as (row, column).

    Returns:
        `(rows, cols)`, two int arrays of length `side * side`; `side` is a power of two.
    """
    index = np.arange(side * side)
    rows, cols = np.zeros_like(index), np.zeros_like(index)
    for level in range(side.bit_length() - 1):
        rows |= ((index >> (2 * level)) & 1) << level
        cols |= ((index >> (2 * level + 1)) & 1) << level
    return rows, cols


def units_to_nested_patches(units, unit_size, patch_size):
    """Patches of some mask units, unit by unit, in nested order inside each.

    Args:
        units: `(B, V, unit_size**2 * C)`.

    Returns:
        `(B, V * (unit_size / patch_size)**2, patch_size**2 * C)`.
    """
    side = unit_size // patch_size
    channels = units.shape[-1] // (unit_size * unit_size)
    count = units.shape[1]
    rows, cols = nested_order(side)
    x = ops.reshape(units, (-1, side, patch_size, side, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    x = ops.reshape(x, (-1, count, side * side, patch_size * patch_size * channels))
    x = ops.take(x, constant(rows * side + cols), axis=2)
    return ops.reshape(x, (-1, count * side * side, patch_size * patch_size * channels))


def gather_cells(x, side):
    """Square cells of `side x side` tokens, each as one long token, in row-major order inside a cell.

    Args:
        x: a map `(B, H, W, C)`; or tokens of whole mask units in nested order, `(B, T, C)`.
        side: a power of two that divides the side of a mask unit in tokens.

    Returns:
        `(B, H / side, W / side, side**2 * C)`, or `(B, T / side**2, side**2 * C)`.
    """
    if len(x.shape) == 4:
        return patchify(x, side)
    rows, cols = nested_order(side)
    count, channels = x.shape[1] // side**2, x.shape[-1]
    x = ops.reshape(x, (-1, count, side * side, channels))
    x = ops.take(x, np.argsort(rows * side + cols), axis=2)
    return ops.reshape(x, (-1, count, side * side * channels))


def take_units(units, places):
    """Some units of each image: `(..., N, P)` and places `(K,)`, or `(B, K)`, one row per image."""
    if len(places.shape) == 1:
        return ops.take(units, places, axis=-2)
    return ops.take_along_axis(units, places[:, :, None], axis=1)


def put_units(units, places, count):
    """Units `(..., K, P)` at their places `(K,)` or `(B, K)` among `count`; zeros elsewhere."""
    where = ops.one_hot(places, count, dtype="float32")
    return ops.matmul(ops.swapaxes(where, -1, -2), units)
