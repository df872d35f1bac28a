"""Random crops inside the graph: two matrix products per image, the same on every backend."""

import math

import numpy as np
from keras import ops

from eesmm_keras.parallel import draw_rows

# Width over height of a crop lies between this and its inverse.
_WIDEST = 4 / 3


def random_crops(images, seeds, smallest, mirror=True):
    """A random part of every image at the image's own size.

    Args:
        images: float `(B, H, W, C)`.
        seeds: `keras.random.SeedGenerator`.
        smallest: share of the area that a crop takes at least, in (0, 1]; the share is uniform.
        mirror: whether half of the crops are mirrored.

    Returns:
        `(B, H, W, C)`, bilinear.
    """
    from keras import random

    drawn = draw_rows(lambda rows: random.uniform((rows, 5), seed=seeds), ops.shape(images)[0])
    area, shape, top, left, mirrored = (drawn[:, k] for k in range(5))
    area = smallest + (1 - smallest) * area
    ratio = ops.exp((2 * shape - 1) * math.log(_WIDEST))
    height, width = (ops.minimum(ops.sqrt(share), 1.0) for share in (area / ratio, area * ratio))
    return crops(
        images, top * (1 - height), left * (1 - width), height, width, mirrored < 0.5 * mirror
    )


def crops(images, top, left, height, width, mirrored):
    """One part of every image, resized to the image's own size.

    Args:
        images: float `(B, H, W, C)`.
        top, left, height, width: `(B,)`, in units of the image.
        mirrored: bool `(B,)`.

    Returns:
        `(B, H, W, C)`, bilinear.
    """
    images, mirrored = ops.convert_to_tensor(images), ops.convert_to_tensor(mirrored)
    top, left, height, width = map(ops.convert_to_tensor, (top, left, height, width))
    rows, cols, channels = images.shape[1:]
    down, across = _weights(top, height, rows), _weights(left, width, cols)
    across = ops.where(mirrored[:, None, None], ops.flip(across, axis=1), across)
    x = ops.matmul(down, ops.reshape(images, (-1, rows, cols * channels)))
    x = ops.transpose(ops.reshape(x, (-1, rows, cols, channels)), (0, 2, 1, 3))
    x = ops.matmul(across, ops.reshape(x, (-1, cols, rows * channels)))
    return ops.transpose(ops.reshape(x, (-1, cols, rows, channels)), (0, 2, 1, 3))


def crop_macs(shape):
    """Multiply-accumulates of `crops` for an image of shape `(H, W, C)`."""
    rows, cols, channels = shape
    return rows * cols * channels * (rows + cols)


def _weights(start, length, size):
    """`(B, size, size)`: what each output row takes from each input row."""
    middles = ops.convert_to_tensor(((np.arange(size) + 0.5) / size).astype("float32"))
    place = (start[:, None] + length[:, None] * middles) * size - 0.5
    place = ops.clip(place, 0.0, size - 1.0)
    pixels = ops.convert_to_tensor(np.arange(size).astype("float32"))
    return ops.maximum(1.0 - ops.abs(place[:, :, None] - pixels), 0.0)
