"""Labels that are pictures of class numbers: one number for each pixel of the image."""

import numpy as np
from PIL import Image

from eesmm_keras.data.decoding import check_pixels, open_image, reason_of
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import Chosen
from eesmm_keras.data.labels import MASKS, Labels

# In a mask that was read: pixels that count nowhere. Classes are 0, 1, ... below it.
IGNORED = 255
MOST_CLASSES = IGNORED - 1
_UNKNOWN = IGNORED - 1
# Pillow's modes of pictures with one whole number a pixel.
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


class Masks(Labels):
    """See `Labels`. A mask is a uint8 array `(H, W)` of class numbers, with 255 for ignored pixels.

    Args:
        paths: sequence of paths of PNG files, one for each image; a palette's numbers count, not its
            colours.
        numbers: list of int, what stands in the files for each class, in the order of the classes.
        ignored: int in the files that means nothing; None: there is none.
        max_pixels: see `decoding.read_rgb`.
    """

    kind, exact, dtype = MASKS, True, "uint8"

    def __init__(self, paths, numbers, ignored=None, max_pixels=None):
        self.paths, self.numbers, self.ignored = paths, tuple(numbers), ignored
        self.max_pixels = max_pixels
        self._table = np.full(2**16, _UNKNOWN, np.uint8)
        self._table[list(self.numbers)] = np.arange(len(self.numbers))
        if ignored is not None:
            self._table[ignored] = IGNORED

    def take(self, indices):
        paths = Chosen(self.paths, indices)
        return Masks(paths, self.numbers, self.ignored, self.max_pixels)

    def read(self, i, picture):
        mask = self._read(i)
        if mask.shape[::-1] != tuple(picture):
            raise DataError(
                f"has {picture[0]} x {picture[1]} pixels, upright, and its mask {self.paths[i]} has "
                f"{mask.shape[1]} x {mask.shape[0]}: they must be the same"
            )
        return mask

    def at(self, indices):
        return [self._read(int(i)) for i in indices]

    def _read(self, i):
        values = read_numbers(self.paths[i], self.max_pixels)
        mask = self._table[values]
        unknown = mask == _UNKNOWN
        if unknown.any():
            raise DataError(
                f"has a mask, {self.paths[i]}, with the number {int(values[unknown][0])}, which "
                "classes.json does not know"
            )
        return mask

    def shape(self, size):
        return tuple(size)

    def show(self, label, place, size):
        height, width = size
        image = Image.fromarray(label)
        view = np.asarray(image.resize((width, height), Image.Resampling.NEAREST, box=place.box))
        return view[:, ::-1] if place.mirrored else view


def read_numbers(path, max_pixels=None):
    """The numbers in a PNG file, array `(H, W)` of values 0 to 65535.

    Raises:
        DataError: there is no such file, it cannot be decoded, or has several numbers a pixel.
    """
    try:
        with open_image(path, ("PNG",)) as image:
            check_pixels(*image.size, max_pixels)
            image.load()
            if image.mode not in _MODES:
                raise DataError(
                    f"has a mask, {path}, that is a picture of mode {image.mode}: expected a PNG with "
                    "one number a pixel, that of its class (grey or with a palette)"
                )
            return np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"has a mask, {path}, that {error}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = reason_of(error)
        raise DataError(f"has a mask, {path}, that cannot be read: {reason}") from error
