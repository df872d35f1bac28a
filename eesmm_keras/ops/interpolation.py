"""Maps brought to other sizes by matrix products: the same numbers on every backend and device, the
same gradients in every run, and operations that every export format knows."""

import numpy as np
from keras import ops


def linear_matrix(source, target):
    """`(target, source)` weights of bilinear interpolation along one axis, float32.

    Cells aligned at the borders, edges repeated: `interpolate(mode="bilinear", align_corners=False)`
    of PyTorch, without antialiasing.
    """
    place = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distance = np.abs(place[:, None] - np.arange(source))
    return np.maximum(0, 1 - distance).astype("float32")


def mean_matrix(source, target):
    """`(target, source)` weights of adaptive average pooling along one axis, as in PyTorch, float32."""
    cells = np.arange(source)
    first = np.arange(target)[:, None] * source // target
    end = -(-(np.arange(target)[:, None] + 1) * source // target)
    inside = (cells >= first) & (cells < end)
    return (inside / inside.sum(axis=1, keepdims=True)).astype("float32")


def resize_linear(x, height, width):
    """Bilinear, see `linear_matrix`; `(B, h, w, C)` of fixed h and w -> `(B, height, width, C)`."""
    _, rows, columns, _ = x.shape
    return _along(x, linear_matrix(rows, height), linear_matrix(columns, width))


def pool_to(x, side):
    """Adaptive average pooling, see `mean_matrix`, to `(B, side, side, C)`."""
    _, rows, columns, _ = x.shape
    return _along(x, mean_matrix(rows, side), mean_matrix(columns, side))


def _along(x, rows, columns):
    """`(B, h, w, C)` -> `(B, H, W, C)` by matrices `(H, h)` and `(W, w)`; the kind of numbers stays."""
    _, height, width, channels = x.shape
    if rows.shape[0] != height or columns.shape[0] != width:
        # As products of three axes: tf2onnx gets those of four wrong where a convolution came before.
        x = ops.reshape(x, (-1, height, width * channels))
        x = ops.matmul(ops.cast(rows, x.dtype), x)
        x = ops.reshape(x, (-1, width, channels))
        x = ops.matmul(ops.cast(columns, x.dtype), x)
        x = ops.reshape(x, (-1, rows.shape[0], columns.shape[0], channels))
    return x
