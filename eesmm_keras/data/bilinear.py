"""Boxes of pictures brought to a size: Pillow's antialiased bilinear pixels, bit for bit, in less time.

The loops (`_bilinear`) are compiled by Numba, which is optional. Where it is missing, or where a trial
finds one pixel that is another one, Pillow itself does the work.
"""

import functools
import math
import platform
import warnings

import numpy as np
from PIL import Image

from eesmm_keras.data.windows import LoadedPicture

# Where compilers do not join multiplications and additions: Pillow's weights are the same everywhere.
MACHINES = ("x86_64", "AMD64")
_TALLEST = 100  # height / width
_LARGEST_SHRINKING = 64  # beyond it rounded weights might add up to too much; nobody shrinks so far


@functools.cache
def bilinear_box():
    """`show_box`, or None: it cannot be had here.

    `show_box(picture, box, mirrored, out)` brings a box of a picture to a size:

        picture: see `windows.Picture`. box: `(left, top, right, bottom)`, fractions of pixels too.
        mirrored: bool, whether columns come in the other order.
        out: uint8 `(H, W, 3)`, C-contiguous, written to.
    """
    if platform.machine() not in MACHINES:
        return None
    try:
        from eesmm_keras.data._bilinear import resample
    except ImportError:
        return None
    except Exception as error:  # no folder for what is compiled, or of another NumPy's time
        warnings.warn(f"Images are read the slower way: Numba fails ({error}).", stacklevel=2)
        return None
    # Pillow weighs tall pictures along their columns first since its release 13.
    for columns_first in (_much_taller, lambda size, out: False):
        show_box = functools.partial(_show_box, resample, columns_first)
        if _is_exact(show_box):
            return show_box
    return None


def _much_taller(size, out):
    """Whether a picture is shrunk far more along its columns than along its rows."""
    more_rows, more_columns = size[1] - out.shape[0], size[0] - out.shape[1]
    return more_rows > max(0, 2 * more_columns)


def _show_box(resample, columns_first, picture, box, mirrored, out):
    (left, right), (top, bottom) = (
        _needed(box[k], box[k + 2], out.shape[1 - k], picture.size[k]) for k in (0, 1)
    )
    pixels, x, y = picture.window(left, top, right, bottom)
    if x > left or y > top or x + pixels.shape[1] < right or y + pixels.shape[0] < bottom:
        raise ValueError(f"a window of {pixels.shape} at {x}, {y} lacks pixels that {box} needs")
    rows, box = pixels.reshape(len(pixels), -1), np.array(box, np.float32)
    order = columns_first(picture.size, out)
    resample(rows, x, y, *picture.size, box, order, mirrored, out.reshape(len(out), -1))


def can_show(picture, box, size):
    """Whether `show_box` can bring a box of a picture to a size `(H, W)`.

    Not where it is shrunk beyond all measure; and Pillow has ways of its own for very tall pictures.
    """
    sides = (box[3] - box[1]) / size[0], (box[2] - box[0]) / size[1]
    return max(sides) <= _LARGEST_SHRINKING and picture.size[1] <= _TALLEST * picture.size[0]


def _needed(first, last, count, length):
    """First and last pixel of a line that have a say in a part of it."""
    reach = math.ceil(max((last - first) / count, 1)) + 1
    return max(0, math.floor(first) - reach), min(length, math.ceil(last) + reach)


def _is_exact(show_box):
    """Whether pixels are Pillow's, on pictures of noise."""
    rng, out = np.random.default_rng(0), np.empty((16, 21, 3), np.uint8)
    for width, height in ((50, 37), (23, 60), (60, 23)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        inner, last = (1.5, 2.25, width - 3.5, height - 1), (width - 1, height - 1, width, height)
        for box in ((0, 0, width, height), (3, 5, 20, 17), inner, last):
            wanted = np.asarray(image.resize((21, 16), Image.Resampling.BILINEAR, box=box))
            for mirrored in (False, True):
                show_box(LoadedPicture(image), box, mirrored, out)
                if not np.array_equal(out, wanted[:, ::-1] if mirrored else wanted):
                    return False
    return True
