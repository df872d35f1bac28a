"""Pictures as arrays of any number of channels: turned, chosen from, scaled and resized."""

import numpy as np
from PIL import Image

from eesmm_keras.data.errors import DataError

# Weights of red, green and blue in grey (ITU-R 601-2), as Pillow has them.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def size_of(image):
    """`(width, height)` of a `PIL.Image.Image`, a `windows.Picture` or an array `(H, W, C)`."""
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else image.size


def upright(array, orientation):
    """An array `(H, W, C)` turned as EXIF's number says; 1 and numbers that mean nothing: as it is."""
    if orientation in (2, 3, 7, 8):
        array = array[:, ::-1]
    if orientation in (3, 4, 6, 7):
        array = array[::-1]
    return array.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else array


def mirrored(array):
    """An array `(H, W, C)` with its columns in the other order, as a copy."""
    # Pixel by pixel: NumPy copies reversed columns number by number, which takes longer.
    pixels = np.ascontiguousarray(array)
    pixels = pixels.view(np.dtype((np.void, pixels.itemsize * pixels.shape[2])))
    return np.ascontiguousarray(pixels[:, ::-1]).view(array.dtype)


def take_channels(array, channels, bands=None):
    """The channels that are asked for, of an array `(H, W, C)`.

    Args:
        channels: their number; None: all. From one, three are made of equal values; from three, one
            of grey.
        bands: numbers of those wanted, in their order, from 1; None: all.

    Raises:
        DataError: there are others.
    """
    count = array.shape[2]
    if bands is not None:
        if max(bands) > count:
            raise DataError(
                f"has {count} channel{'s' * (count != 1)}, and band {max(bands)} is asked for (--bands)"
            )
        return array[:, :, [band - 1 for band in bands]]
    if channels in (None, count):
        return array
    if (count, channels) == (1, 3):
        return np.repeat(array, 3, axis=2)
    if (count, channels) == (3, 1):
        grey = array.astype(np.float32) @ _GREY[:, None]
        return grey if array.dtype.kind == "f" else np.rint(grey).astype(array.dtype)
    raise DataError(
        f"has {count} channel{'s' * (count != 1)}, and {channels} are expected: choose some with "
        "--bands, or another number with --channels"
    )


def eight_bits(array):
    """An array of whole numbers of 8 or 16 bits as uint8.

    Raises:
        DataError: other numbers: 8 bits would lose them.
    """
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # rounded; 65535 -> 255
    raise DataError(
        f"holds {array.dtype} values, which 8 bits cannot hold: read them with --pixels native"
    )


def scaled(array, low=None, high=None):
    """An array `(H, W, C)` as float32, `low` as 0 and `high` as 255, clipped to them.

    Args:
        low, high: of each channel; None: the values are left as they are.

    Raises:
        DataError: values that are not finite.
    """
    array = finite(np.asarray(array, np.float32))
    if low is None:
        return array
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if array.shape[2] != len(low):
        raise DataError(f"has {array.shape[2]} channels, and the range of {len(low)} is known")
    factor = 255 / (high - low)
    return np.clip(array * factor.astype(np.float32) - (low * factor).astype(np.float32), 0, 255)


def finite(array):
    """The same array; a DataError where it holds values that are not finite."""
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise DataError(f"holds {bad} values that are not finite (NaN or infinity)")
    return array


def resize_channels(array, size, box, resampling):
    """Resize a part of an array channel by channel, each as Pillow resizes a picture of one.

    Args:
        array: uint8 or float32 `(H, W, C)`. size: `(width, height)` of the result.
        box: `(left, top, right, bottom)` of the part, fractions of pixels too.
        resampling: of Pillow.

    Returns:
        array `(height, width, C)` of the same kind; floats stay within the range they had.
    """
    done = []
    for k in range(array.shape[2]):
        channel = np.ascontiguousarray(array[:, :, k])
        part = np.asarray(Image.fromarray(channel).resize(size, resampling, box=box))
        if channel.dtype.kind == "f":  # bicubic overshoots
            part = np.clip(part, channel.min(), channel.max())
        done.append(part)
    return np.stack(done, axis=-1)


def visible(image):
    """Pixels 0..255 `(H, W, C)` as uint8 for a screen: the first three channels, or one in grey."""
    pixels = np.clip(np.rint(image), 0, 255).astype("uint8")
    return pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
