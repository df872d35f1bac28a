"""Which part of a picture is shown, and how it is brought to the size that is wanted."""

import math

import numpy as np
from PIL import Image

from eesmm_keras.data.channels import mirrored, resize_channels
from eesmm_keras.data.errors import DataError
from eesmm_keras.image_size import both_sides


def smallest_side(size, scale, ratio):
    """Least side of a picture of which no box of `random_box` is smaller than the crop.

    A picture may be decoded at a fraction of its size down to this without any loss, see `read_rgb`.

    Args:
        size, scale, ratio: see `random_box`.
    """
    height, width = both_sides(size)
    return math.ceil(math.sqrt(height * width) / math.sqrt(scale[0] * min(ratio[0], 1 / ratio[1])))


# Bilinear (antialiased) is torchvision's default, and takes less time than bicubic.
RANDOM_CROP_FILTER, STILL_CROP_FILTER = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def check_crop(scale, ratio):
    """Raise DataError where `scale` and `ratio` are no ranges for `random_box`."""
    if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
        raise DataError(f"crop_scale must be (low, high) with 0 < low <= high <= 1, got {scale}.")
    if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
        raise DataError(f"crop_ratio must be (low, high) with 0 < low <= high, got {ratio}.")


def random_box(picture, size, rng, scale, ratio):
    """A box of random area and aspect ratio: torchvision's random resized crop (Inception's crop).

    Ten tries to fit one; then the largest central box whose aspect ratio is allowed. A box smaller than
    the output will be enlarged.

    Args:
        picture: `(width, height)` in pixels.
        size: int, the side of the output in pixels, or `(H, W)`.
        rng: `numpy.random.Generator`.
        scale: (low, high), the box's share of the picture's area, each in (0, 1].
        ratio: (low, high), how much wider the box is than the output, for one height: its width /
            height, where the output is square. Drawn evenly on a log scale.

    Returns:
        `(left, top, right, bottom)`.
    """
    (width, height), (rows, columns) = picture, both_sides(size)
    form = columns / rows
    area = width * height
    for _ in range(10):
        target = area * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]))) * form
        w = round(math.sqrt(target * aspect))
        h = round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.integers(0, width - w + 1))
            top = int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    # No box fitted: the picture is far wider or taller than the ratios allow.
    aspect = min(max(width / height, ratio[0] * form), ratio[1] * form)
    w = max(1, min(width, round(height * aspect)))
    h = max(1, min(height, round(width / aspect)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def central_box(picture, size, crop_fraction):
    """The centre for evaluation.

    The same picture as resizing it just to cover `size / crop_fraction` and cutting the central `size`
    pixels, in one resampling. A picture that is no larger than `size` along the side that it fills
    keeps its whole centre (it has no pixels to spare) and is enlarged.

    Args:
        picture, size: see `random_box`.
        crop_fraction: the crop's share of the side that it fills, in (0, 1].

    Returns:
        `(left, top, right, bottom)`.
    """
    (width, height), (rows, columns) = picture, both_sides(size)
    # The largest box of the output's form.
    wide, high = min(width, height * columns / rows), min(height, width * rows / columns)
    if wide > columns:
        wide, high = wide * crop_fraction, high * crop_fraction
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


def resize_box(image, size, box, resampling, mirror=False):
    """A box of a picture, brought to a size.

    Args:
        image: RGB `PIL.Image.Image`, or an array `(h, w, C)`, uint8 or float32.
        size: see `random_box`. box: `(left, top, right, bottom)` in pixels. resampling: Pillow's.
        mirror: bool, whether columns come in the other order.

    Returns:
        array `(H, W, C)` of the same kind.
    """
    height, width = both_sides(size)
    if isinstance(image, np.ndarray):
        array = resize_channels(image, (width, height), box, resampling)
        return mirrored(array) if mirror else array
    image = image.resize((width, height), resampling, box=box)
    array = np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image)
    return array if array.ndim == 3 else array[..., None]
