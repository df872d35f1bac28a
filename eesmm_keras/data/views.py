"""What is shown of an image: a random crop in training, the centre or the whole otherwise."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eesmm_keras.data.bilinear import bilinear_box, can_show
from eesmm_keras.data.channels import size_of
from eesmm_keras.data.crops import (
    RANDOM_CROP_FILTER,
    STILL_CROP_FILTER,
    central_box,
    check_crop,
    random_box,
    resize_box,
    smallest_side,
)
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.windows import LoadedPicture, Picture
from eesmm_keras.image_size import both_sides

# What evaluation shows of each side of an image: see `crops.central_box`.
CENTRAL_CROP = 0.875


@dataclass(frozen=True)
class Place:
    """Where a view lies in a picture, so that masks and boxes can be shown in the same way.

    Attributes:
        box: `(left, top, right, bottom)` in pixels of the picture. mirrored: bool.
    """

    box: tuple
    mirrored: bool = False


class View:
    """What is shown of images. A subclass says where.

    Args:
        size: the side of what is shown in pixels, or `(H, W)`.

    Attributes:
        size: `(H, W)`.
        min_side: pixels to which an image may shrink while it is decoded, see `decoding.read_rgb`.
        filter: Pillow's, with which a box is brought to the size.
        by_window: whether it shows pictures that are decoded in part, `windows.Picture`, too.

    Call: RGB `PIL.Image.Image` or array, `numpy.random.Generator` -> uint8 (float32) `(H, W, C)`.

    Raises:
        DataError: `size` is no size.
    """

    filter = STILL_CROP_FILTER
    min_side = None
    by_window = False

    def __init__(self, size):
        try:
            self.size = both_sides(size)
        except ValueError as error:
            raise DataError(f"image_size: {error}.") from error

    def place(self, picture, rng=None):
        """The `Place` in a picture of `(width, height)` pixels."""
        raise NotImplementedError

    def show(self, image, place, out=None):
        """What is at a place of an image, in the size of the view.

        Args:
            out: array that it is written to, and that is returned; None: a new one.
        """
        view = resize_box(image, self.size, place.box, self.filter, place.mirrored)
        if out is None:
            return view
        out[...] = view
        return out

    def __call__(self, image, rng=None):
        return self.show(image, self.place(size_of(image), rng))


class RandomView(View):
    """A random crop, mirrored half of the time.

    Args:
        size: see `View`. scale, ratio: see `crops.random_box`. flip: bool.

    Raises:
        DataError: `size` is no size, or `scale` or `ratio` no range.
    """

    filter = RANDOM_CROP_FILTER

    def __init__(self, size, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip=True):
        check_crop(scale, ratio)
        super().__init__(size)
        self.scale, self.ratio, self.flip = scale, ratio, flip
        self.min_side = smallest_side(self.size, scale, ratio)
        self._show_box = bilinear_box()
        self.by_window = self._show_box is not None

    def place(self, picture, rng=None):
        box = random_box(picture, self.size, rng, self.scale, self.ratio)
        return Place(box, bool(self.flip and rng.random() < 0.5))

    def show(self, image, place, out=None):
        picture = image
        if self.by_window and isinstance(image, Image.Image) and image.mode == "RGB":
            picture = LoadedPicture(image)
        if not isinstance(picture, Picture):
            return super().show(image, place, out)
        if not can_show(picture, place.box, self.size):
            return super().show(picture.image(), place, out)
        out = np.empty((*self.size, 3), np.uint8) if out is None else out
        self._show_box(picture, place.box, place.mirrored, out)
        return out


class CentralView(View):
    """The centre, see `crops.central_box`.

    Args:
        size: see `View`. crop_fraction: see `crops.central_box`.
    """

    def __init__(self, size, crop_fraction=CENTRAL_CROP):
        super().__init__(size)
        self.crop_fraction = crop_fraction
        self.min_side = math.ceil(max(self.size) / crop_fraction)

    def place(self, picture, rng=None):
        return Place(central_box(picture, self.size, self.crop_fraction))


class WholeView(View):
    """The whole image, brought to the size whatever its form."""

    def place(self, picture, rng=None):
        return Place((0, 0, *picture))


def still_view(size, whole=False):
    """The view of evaluation: the centre of an image, or all of it."""
    return WholeView(size) if whole else CentralView(size)
