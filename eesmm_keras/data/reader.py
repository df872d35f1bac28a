"""One image file as a `Reading` wants it, whatever its format."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image

from eesmm_keras.data.channels import eight_bits, finite, scaled, take_channels, upright
from eesmm_keras.data.decoding import (
    FORMATS,
    UPRIGHT,
    Header,
    check_file,
    check_pixels,
    checked_file,
    open_image,
    orientation_of,
    reason_of,
    to_rgb,
)
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import check_sizes
from eesmm_keras.data.files import format_of
from eesmm_keras.data.reading import RAW

_PNG_DEPTH = 24  # where a PNG says how many bits a channel has


def read_picture(item, reading, min_side=None, max_pixels=None, draw=None):
    """Decode one image.

    Args:
        item: a path, the bytes of an encoded file, or an array `(H, W)` or `(H, W, C)`.
        reading: `Reading`.
        min_side, max_pixels: see `decoding.read_rgb`.
        draw: `numpy.random.Generator` that draws where the reading's tile lies; None: in the middle.

    Returns:
        `PIL.Image.Image` of mode "RGB" or "L", or an array `(h, w, C)` of the reading's dtype.

    Raises:
        DataError: the file is missing, damaged, too large, or holds other channels or values than the
            reading wants.
    """
    with _decoding(), _opened(item, reading, min_side, max_pixels) as opened:
        return opened.read(*_window(opened, draw))


def read_tiles(item, reading, overlap=0.0, max_pixels=None):
    """Decode one image window by window: tiles that cover it, row by row.

    Neighbours overlap by a share of their sides; the last of a row or column ends at the border, and
    may overlap more. A format that is read in parts (`FileFormat.windows`) is not decoded as a whole.

    Args:
        item, max_pixels: see `read_picture`. reading: `Reading` with a tile.
        overlap: share of a tile's side, in [0, 1).

    Yields:
        what `read_picture` returns.

    Raises:
        DataError: as `read_picture`.
    """
    with _decoding(), _opened(item, reading, None, max_pixels) as opened:
        _window(opened, None)  # says so if the picture is smaller than the tile
        rows, columns = opened.tile
        for top in _starts(opened.height, rows, overlap):
            for left in _starts(opened.width, columns, overlap):
                yield opened.read(top, left, rows, columns)


def _starts(length, side, overlap):
    """Where tiles of a side begin that cover a length."""
    last, step = length - side, max(1, round(side * (1 - overlap)))
    return [*range(0, last, step), last]


@contextmanager
def _decoding():
    """What decoders raise as a DataError: nearly anything, on damaged files."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"cannot be decoded: {reason_of(error)}") from error


class _Opened(NamedTuple):
    """A picture of which windows can be read.

    Attributes:
        height, width: in pixels, as it lies in the file.
        tile: the reading's, as it lies in the file; None: the whole.
        read: function of `(top, left, height, width)` that gives what `read_picture` returns.
    """

    height: int
    width: int
    tile: tuple | None
    read: object


@contextmanager
def _opened(item, reading, min_side, max_pixels):
    if isinstance(item, np.ndarray):
        yield _of_array(item[..., None] if item.ndim == 2 else item, reading)
        return
    form = format_of(item)
    if form is not None:
        form.prepare()
    if form is None or form.pillow:
        formats = FORMATS if form is None else (form.pillow,)
        yield _from_pillow(item, formats, reading, min_side, max_pixels)
        return
    with form.open(checked_file(item), reading.pages) as picture:
        _check(picture, form, reading, max_pixels)
        turn = picture.orientation if reading.exif else 1
        tile = reading.tile
        if tile is not None and turn > 4:  # lies on its side in the file
            tile = tile[::-1]

        def read(*window):
            return _finished(upright(picture.read(*window), turn), reading)

        yield _Opened(picture.height, picture.width, tile, read)


def _of_array(array, reading):
    def read(top, left, height, width):
        return _finished(array[top : top + height, left : left + width], reading)

    return _Opened(*array.shape[:2], reading.tile, read)


def check_path(path, reading, max_pixels=None):
    """What a file's header says: `decoding.Header`; see `decoding.check_file`.

    Raises:
        DataError: as `read_picture`, as far as it shows without decoding.
    """
    form = format_of(path)
    if form is None:
        return check_file(path, max_pixels)
    form.prepare()
    if form.pillow:
        return check_file(path, max_pixels, (form.pillow,))
    try:
        with form.open(checked_file(path), reading.pages) as picture:
            _check(picture, form, reading, max_pixels)
            return Header(picture.width, picture.height, picture.mode)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"is not a readable image: {reason_of(error)}") from error


def _check(picture, form, reading, max_pixels):
    # A window of a file that can be read in parts may be cut out of a picture of any size.
    window = reading.tile if form.windows else None
    kind = np.dtype(picture.dtype)
    check_sizes(picture.width, picture.height, picture.channels, kind, max_pixels, window)


def _from_pillow(item, formats, reading, min_side, max_pixels):
    with open_image(item, formats) as image:
        check_pixels(*image.size, max_pixels)
        if min_side is not None and reading.tile is None:
            image.draft(None, (min_side, min_side))
        image.load()
        turn = orientation_of(image) if reading.exif else None
        grey = reading.channels == 1 and reading.bands is None and not reading.native
        if not reading.plain and not grey:
            return _of_array(upright(_numbers(image, item), turn), reading)
        picture = to_rgb(image) if reading.plain else to_rgb(image).convert("L")
        picture = picture.transpose(UPRIGHT[turn]) if turn in UPRIGHT else picture

    def read(top, left, height, width):
        if (width, height) == picture.size:
            return picture
        return picture.crop((left, top, left + width, top + height))

    return _Opened(picture.height, picture.width, reading.tile, read)


def _numbers(image, item):
    """The numbers of a loaded picture as they are in the file: an array `(H, W, C)`."""
    if image.format == "PNG" and image.mode in ("LA", "RGB", "RGBA") and _depth(item) == 16:
        return _sixteen_bits(item)  # Pillow has thrown half of the bits away
    if image.format == "JPEG2000" and image.mode in ("LA", "RGB", "RGBA"):
        _refuse_deep(item)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "F") and image.mode[0] != "I":
        image = image.convert("RGBA" if "a" in image.mode.lower() else "RGB")
    array = np.asarray(image)
    if image.mode.startswith("I") and array.min() >= 0 and array.max() <= 65535:
        array = array.astype(np.uint16)
    return array[..., None] if array.ndim == 2 else array


def _depth(item):
    return _head(item, _PNG_DEPTH + 1)[_PNG_DEPTH]


def _head(item, size):
    if isinstance(item, bytes):
        return item[:size]
    with open(item, "rb") as file:
        return file.read(size)


def _sixteen_bits(item):
    import tensorflow as tf

    if not isinstance(item, bytes):
        with open(item, "rb") as file:
            item = file.read()
    with tf.device("/CPU:0"):
        return tf.io.decode_png(item, dtype=tf.uint16).numpy()


def _refuse_deep(item):
    head = _head(item, 4096)
    at = head.find(b"ihdr")
    if at >= 0 and len(head) > at + 14 and (head[at + 14] & 127) + 1 > 8:
        raise DataError(
            "is a JPEG 2000 of several channels with more than 8 bits, which would be cut to 8: save "
            "it as TIFF"
        )


def _window(opened, draw):
    """`(top, left, height, width)` of one tile, or of the whole picture."""
    height, width, tile = opened.height, opened.width, opened.tile
    if tile is None:
        return 0, 0, height, width
    rows, columns = tile
    if rows > height or columns > width:
        raise DataError(
            f"has {width} x {height} pixels, less than the tile of {columns} x {rows} (--tile)"
        )
    if draw is None:
        return (height - rows) // 2, (width - columns) // 2, rows, columns
    top, left = draw.integers(0, [height - rows + 1, width - columns + 1]).tolist()
    return top, left, rows, columns


def _finished(array, reading):
    if reading.native:
        array = take_channels(array, reading.channels, reading.bands)
        return finite(array) if reading.pixels == RAW else scaled(array, reading.low, reading.high)
    array = take_channels(eight_bits(array), reading.channels or 3, reading.bands)
    # Pillow resizes three channels at once faster than one by one, to the same numbers.
    return Image.fromarray(np.ascontiguousarray(array)) if array.shape[2] == 3 else array
