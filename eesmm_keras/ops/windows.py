"""Geometry of (shifted) windows. NumPy: everything here depends on sizes only, never on data."""

import numpy as np


def effective_window(height, width, window, shift):
    """Window and shift that a stage really uses.

    A map that is not larger than the window is one window, without shift (Liu et al., 2021).
    """
    if min(height, width) <= window:
        return min(height, width), 0
    return window, shift


def padded(size, window):
    """`size` rounded up to a multiple of `window`."""
    return -(-size // window) * window


def window_segments(height, width, window, shift):
    """Where each position of a padded map stands once it is rolled by `-shift` and cut in windows.

    Returns:
        `(window_id, position, segment)`, int arrays `(Hp, Wp)` over the *unrolled* padded map.
        `position` is `row * (2 * window - 1) + col` inside the window, so that for a query i and a
        key j of one window `position[i] - position[j] + 2 * window * (window - 1)` is the row of
        the relative position table. Two positions may attend to each other exactly when they
        have the same `segment`: the same window and the same side of the cyclic seam.
    """
    rows, cols = padded(height, window), padded(width, window)
    y = (np.arange(rows) - shift) % rows
    x = (np.arange(cols) - shift) % cols

    def region(index, size):
        if shift == 0:
            return np.zeros_like(index)
        return (index >= size - window).astype(int) + (index >= size - shift)

    window_id = (y // window)[:, None] * (cols // window) + (x // window)[None, :]
    position = (y % window)[:, None] * (2 * window - 1) + (x % window)[None, :]
    regions = region(y, rows)[:, None] * 3 + region(x, cols)[None, :]
    return window_id, position, window_id * 9 + regions


def relative_position_index(window):
    """`(S, S)` rows of the relative position table for the S = window**2 places of a window."""
    place = np.arange(window * window)
    position = place // window * (2 * window - 1) + place % window
    return position[:, None] - position[None, :] + 2 * window * (window - 1)


def log_spaced_offsets(window):
    """Offsets by row of the relative position table, `((2 * window - 1)**2, 2)`, as rows and columns
    from -1 to 1 on a logarithmic scale (Liu et al., 2022, Swin V2, Eq. 4, with the public code's 8).
    """
    steps = 8 * np.arange(1 - window, window) / max(window - 1, 1)
    steps = np.sign(steps) * np.log2(np.abs(steps) + 1) / 3
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2).astype("float32")


def split_windows(values, window, shift):
    """NumPy twin of the windows that a map is cut into: `(Hp, Wp)` -> `(windows, S)`."""
    rolled = np.roll(values, (-shift, -shift), axis=(0, 1))
    rows, cols = rolled.shape[0] // window, rolled.shape[1] // window
    cut = rolled.reshape(rows, window, cols, window).transpose(0, 2, 1, 3)
    return cut.reshape(rows * cols, window * window)
