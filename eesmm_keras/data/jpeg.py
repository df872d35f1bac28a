"""JPEG files, decoded by TensorFlow where that gives Pillow's pixels, bit for bit, in less time."""

import contextlib
import functools
import io

import numpy as np
from PIL import Image

from eesmm_keras.data.decoding import check_pixels, checked_file, orientation_of

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
# Beside a window, libjpeg has not decoded what it smooths the outermost columns with.
_MARGIN = 2
# TensorFlow's own default of the last is an int, for which it takes a slower way, as for arguments that
# are no tensors yet.
_EXACT = {"channels": 3, "dct_method": "INTEGER_ACCURATE", "acceptable_fraction": 1.0}


def shrinks(size, min_side):
    """Whether Pillow decodes a JPEG of `(width, height)` at a fraction of that, see `read_rgb`."""
    return min_side is not None and min(size) // min_side > 1


def decoded_window(data, size, left, top, right, bottom):
    """Part of a whole JPEG file; what is not above it and beside it is not decoded.

    Args:
        data: bytes. size: `(width, height)` of the picture. left, top, right, bottom: the part.

    Returns:
        `(pixels, x, y)`: uint8 `(h, w, 3)` of at least the part, and where they begin. Columns beyond
        the part may be other ones than Pillow's.
    """
    import tensorflow as tf

    left, right = max(0, left - _MARGIN), min(size[0], right + _MARGIN)
    window = (top, left, bottom - top, right - left)
    pixels = tf.io.decode_and_crop_jpeg(tf.constant(data), tf.constant(window, tf.int32), **_EXACT)
    return np.asarray(pixels), left, top


def plain_jpeg(path_or_bytes, min_side=None, max_pixels=None):
    """A JPEG file whose windows are those of what `decoding.read_rgb` reads.

    That is: complete, not progressive, of colours, upright and read in its full size.

    Args:
        see `read_rgb`.

    Returns:
        `(data, size)`: bytes and `(width, height)`; None: `read_rgb` must read it.
    """
    with contextlib.suppress(Exception):  # `read_rgb` finds the words
        data = checked_file(path_or_bytes)
        if isinstance(data, io.BytesIO):
            data = path_or_bytes
        else:
            with open(data, "rb", buffering=0) as file:
                data = file.read(len(_BEGIN))
                if data == _BEGIN:  # of others nothing more is read
                    data += file.read()
        if not data.startswith(_BEGIN) or not data.endswith(_END) or not decoders_agree():
            return None
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            plain = image.mode == "RGB" and image.format == "JPEG"
            if not plain or "progressive" in image.info or shrinks(image.size, min_side):
                return None
            check_pixels(*image.size, max_pixels)
            if orientation_of(image) in (None, 1):
                return data, image.size
    return None


@functools.cache
def decoders_agree():
    """Whether TensorFlow decodes windows of a JPEG of noise to Pillow's pixels."""
    noise, file = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    data, wanted = file.getvalue(), np.asarray(Image.open(file))
    for left, top, right, bottom in (
        (0, 0, 70, 50),
        (18, 3, 34, 49),
        (32, 16, 47, 32),
        (5, 0, 64, 17),
    ):
        pixels, x, y = decoded_window(data, (70, 50), left, top, right, bottom)
        found = pixels[top - y : bottom - y, left - x : right - x]
        if not np.array_equal(found, wanted[top:bottom, left:right]):
            return False
    return True
