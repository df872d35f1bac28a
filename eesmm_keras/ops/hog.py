"""Histograms of oriented gradients (Dalal and Triggs, 2005), the target of MaskFeat and DMJD."""

import numpy as np
from keras import ops


def hog(images, cell=8, orientations=9):
    """Histograms of each channel's gradients over square cells, not normalised.

    The same as scikit-image's `hog` cells, channel by channel: central differences (0 at the border),
    unsigned orientation in equal bins over 180 degrees, magnitudes averaged over the cell.

    Args:
        images: `(B, H, W, C)`; H and W are multiples of `cell`.
        cell: side of a cell in pixels.

    Returns:
        `(B, H / cell, W / cell, C, orientations)` in float32.
    """
    images = ops.cast(images, "float32")
    _, height, width, channels = images.shape
    down = ops.pad(images[:, 2:] - images[:, :-2], ((0, 0), (1, 1), (0, 0), (0, 0)))
    right = ops.pad(images[:, :, 2:] - images[:, :, :-2], ((0, 0), (0, 0), (1, 1), (0, 0)))
    magnitude = ops.sqrt(ops.square(down) + ops.square(right))
    # Orientation modulo 180 degrees: turned into the upper half plane.
    flip = ops.logical_or(down < 0, ops.logical_and(down == 0, right < 0))
    down, right = ops.where(flip, -down, down), ops.where(flip, -right, right)
    angles = np.pi * np.arange(orientations + 1) / orientations
    # At or past the direction of each bin's lower edge: the sign of a cross product.
    past = [
        ops.cast(down * float(np.cos(a)) - right * float(np.sin(a)) >= 0, "float32")
        for a in angles[1:-1]
    ]
    inside = [1.0, *past, 0.0]
    bins = [magnitude * (inside[i] - inside[i + 1]) for i in range(orientations)]
    shape = (-1, height // cell, cell, width // cell, cell, channels)
    cells = [ops.mean(ops.reshape(part, shape), axis=(2, 4)) for part in bins]
    return ops.stack(cells, axis=-1)


def units_hog(images, unit_size, cell=8, orientations=9):
    """HOG of each mask unit: `(B, H, W, C)` -> `(B, N, (unit_size / cell)**2 * C * orientations)`."""
    features = hog(images, cell, orientations)
    _, rows, cols, channels, bins = features.shape
    side = unit_size // cell
    x = ops.reshape(features, (-1, rows // side, side, cols // side, side, channels * bins))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * cols // side**2, side * side * channels * bins))
