"""What is shown of an image: a random crop in training, the centre otherwise."""

import math

from eesmm_keras.data.decoding import (
    center_crop,
    check_crop,
    random_resized_crop,
    smallest_side,
)

_CROP_FRACTION = 0.875


class RandomView:
    """A random crop, mirrored half of the time.

    Args:
        size: int, the side S of the crop in pixels.
        scale, ratio: see `decoding.random_resized_crop`.
        flip: bool.

    Attributes:
        min_side: pixels to which an image may shrink while it is decoded, see `decoding.read_rgb`.

    Call: RGB `PIL.Image.Image`, `numpy.random.Generator` -> uint8 `(S, S, 3)`.

    Raises:
        DataError: `scale` or `ratio` is no range.
    """

    def __init__(self, size, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip=True):
        check_crop(scale, ratio)
        self.size, self.scale, self.ratio, self.flip = size, scale, ratio, flip
        self.min_side = smallest_side(size, scale, ratio)

    def __call__(self, image, rng):
        view = random_resized_crop(image, self.size, rng, self.scale, self.ratio)
        return view[:, ::-1] if self.flip and rng.random() < 0.5 else view


class CentralView:
    """The central square, see `decoding.center_crop`; attributes and call as `RandomView`."""

    def __init__(self, size):
        self.size, self.min_side = size, math.ceil(size / _CROP_FRACTION)

    def __call__(self, image, rng=None):
        return center_crop(image, self.size, _CROP_FRACTION)
