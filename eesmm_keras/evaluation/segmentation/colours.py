"""Masks as pictures: every class has its colour, laid over the image."""

import numpy as np
from PIL import Image

_SHARE = 0.6


def colours(count):
    """The colours of PASCAL VOC, which spread the bits of a number: uint8 `(count, 3)`."""
    numbers = np.arange(1, count + 1)
    found = np.zeros((count, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            found[:, channel] |= (numbers >> (3 * bit + channel) & 1) << (7 - bit)
    return found.astype(np.uint8)


def overlay(image, mask, classes):
    """An image under the colours of a mask.

    Args:
        image: `PIL.Image.Image`, or pixels 0..255 `(H, W, 3)`. mask: uint8 `(h, w)`; it is brought to
            the image's size. Where it is no class, the image is seen as it is.
        classes: number of classes.

    Returns:
        `PIL.Image.Image` of mode "RGB".
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture = picture.convert("RGB")
    table = np.zeros((256, 3), np.uint8)
    table[:classes] = colours(classes)
    mask = np.asarray(Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST))
    mixed = np.asarray(Image.blend(picture, Image.fromarray(table[mask]), _SHARE))
    return Image.fromarray(np.where((mask < classes)[..., None], mixed, np.asarray(picture)))
