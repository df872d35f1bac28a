"""Fixed two-dimensional sine-cosine positions (MAE, He et al., 2022)."""

import numpy as np


def sincos_positions(grid, dim):
    """Sine-cosine embedding of the cells of a grid, in row-major order.

    Args:
        grid: `(rows, cols)`.
        dim: width, a multiple of 4: sine and cosine of the column, then of the row.

    Returns:
        float32 `(rows * cols, dim)`.

    Raises:
        ValueError: if `dim` is not a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"Sine-cosine positions need a width that is a multiple of 4, got {dim}.")
    frequency = 1.0 / 10000 ** (np.arange(dim // 4) / (dim / 4))
    rows, cols = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    parts = []
    for coordinate in (cols, rows):
        angle = coordinate.reshape(-1, 1) * frequency
        parts += [np.sin(angle), np.cos(angle)]
    return np.concatenate(parts, axis=1).astype("float32")
