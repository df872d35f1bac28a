"""What is shown of an image: a random crop in training, the centre otherwise."""

import math

import numpy as np

from eesmm_keras.data.decoding import (
    center_crop,
    check_crop,
    random_resized_crop,
    smallest_side,
)
from eesmm_keras.data.errors import DataError
from eesmm_keras.image_size import both_sides


class RandomView:
    """A random crop, mirrored half of the time.

    Args:
        size: the crop's side in pixels, or `(H, W)`.
        scale, ratio: see `decoding.random_resized_crop`.
        flip: bool.

    Attributes:
        size: `(H, W)`.
        min_side: pixels to which an image may shrink while it is decoded, see `decoding.read_rgb`.

    Call: RGB `PIL.Image.Image`, `numpy.random.Generator` -> uint8 `(H, W, 3)`.

    Raises:
        DataError: `size` is no size, or `scale` or `ratio` no range.
    """

    def __init__(self, size, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip=True):
        check_crop(scale, ratio)
        self.size, self.scale, self.ratio, self.flip = _checked(size), scale, ratio, flip
        self.min_side = smallest_side(self.size, scale, ratio)

    def __call__(self, image, rng):
        view = random_resized_crop(image, self.size, rng, self.scale, self.ratio)
        return mirrored(view) if self.flip and rng.random() < 0.5 else view


def mirrored(view):
    """An array `(H, W, C)` with its columns in the other order, as a copy."""
    # Pixel by pixel: NumPy copies reversed columns number by number, which takes longer.
    pixels = np.ascontiguousarray(view)
    pixels = pixels.view(np.dtype((np.void, pixels.itemsize * pixels.shape[2])))
    return np.ascontiguousarray(pixels[:, ::-1]).view(view.dtype)


class CentralView:
    """The centre; attributes, call and errors as `RandomView`.

    Args:
        size: the crop's side in pixels, or `(H, W)`. crop_fraction: see `decoding.center_crop`.
    """

    def __init__(self, size, crop_fraction=0.875):
        self.size, self.crop_fraction = _checked(size), crop_fraction
        self.min_side = math.ceil(max(self.size) / crop_fraction)

    def __call__(self, image, rng=None):
        return center_crop(image, self.size, self.crop_fraction)


def _checked(size):
    try:
        return both_sides(size)
    except ValueError as error:
        raise DataError(f"image_size: {error}.") from error
