"""Random changes of colour inside the graph: one small matrix per image, the same on every backend.

Keras' own layers for it take RGB alone, each holds a generator (state that earlier checkpoints lack),
and they draw for the images of one device, where `draw_rows` draws for the batch.
"""

import math

import numpy as np
from keras import ops, random

from eesmm_keras.device_waits import constant, where
from eesmm_keras.parallel import draw_rows

# SimCLR: the share of images without colours, and the hue's turn where the other factors vary by 1.
_GREY = 0.2
_TURN = 0.25


def random_colors(images, seeds, strength):
    """Other brightness, contrast, saturation and hue for every image (SimCLR, Chen et al., 2020).

    Brightness, contrast and saturation are multiplied by factors in `1 - strength` to `1 + strength`,
    the hue is turned by up to `strength / 4` of a circle, and one image in five loses its colours. Grey
    is the mean of the channels. Hues need three channels; with other numbers they stay.

    Args:
        images: float `(B, H, W, C)`, any range of values.
        seeds: `keras.random.SeedGenerator`.
        strength: in [0, 1]; 0.4 is SimCLR's for small images. 0 draws nothing and changes nothing.

    Returns:
        `(B, H, W, C)`, float32, not clipped.
    """
    if not strength:
        return images
    drawn = draw_rows(lambda rows: random.uniform((rows, 5), seed=seeds), ops.shape(images)[0])
    factors = 1 + strength * (2 * drawn - 1)
    saturation = where(drawn[:, 4] < _GREY, 0.0, factors[:, 2])
    angle = strength * _TURN * 2 * math.pi * (2 * drawn[:, 3] - 1)
    return colors(images, factors[:, 0], factors[:, 1], saturation, angle)


def colors(images, brightness, contrast, saturation, angle):
    """Change the colours of every image.

    Args:
        images: `(B, H, W, C)`.
        brightness, contrast, saturation: factors `(B,)`; 1 changes nothing.
        angle: turn of the hue in radians, `(B,)`, for three channels.

    Returns:
        `(B, H, W, C)`, float32.
    """
    images = ops.cast(images, "float32")
    brightness, contrast, saturation, angle = (
        ops.cast(values, "float32")[:, None, None]
        for values in (brightness, contrast, saturation, angle)
    )
    height, width, count = images.shape[1:]
    grey = constant(np.full((count, count), 1 / count, "float32"))
    turned = constant(np.eye(count, dtype="float32"))
    if count == 3:
        # A rotation about the axis of greys, of colours as rows.
        across = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], "float32") / math.sqrt(3)
        cosine = ops.cos(angle)
        turned = cosine * turned + (1 - cosine) * grey + ops.sin(angle) * constant(across)
    matrix = brightness * contrast * (grey + saturation * (turned - grey))
    middle = ops.mean(images, axis=(1, 2, 3), keepdims=True)[:, 0]
    rows = ops.matmul(ops.reshape(images, (-1, height * width, count)), matrix)
    rows = rows + brightness * (1 - contrast) * middle
    return ops.reshape(rows, (-1, height, width, count))
