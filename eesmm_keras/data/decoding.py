"""Image files to RGB pictures, with Pillow and NumPy only."""

import contextlib
import io
import math
import os
import stat
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eesmm_keras.data.errors import DataError

# Pictures beyond the limit are refused here by `check_pixels`; Pillow's warning would come first.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Only these decoders run, whatever a file claims to be: Pillow's others include Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

# What a file ends in when nothing is missing: JPEG's end of image, PNG's last chunk, GIF's trailer.
# MPO is what phones and stereo cameras write: a JPEG with more pictures behind it.
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}

# The EXIF orientation tag and what brings each of its values upright.
_ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_rgb(path_or_bytes, min_side=None, max_pixels=None, exif=True, formats=FORMATS):
    """Decode an image file to an upright 8-bit RGB picture.

    Grey and palette pictures become RGB, CMYK is converted, 16-bit grey is scaled to 8 bits,
    transparency is laid over white (what lies hidden under transparent pixels never shows), and the
    EXIF orientation is applied. A GIF gives its first frame.

    Args:
        path_or_bytes: a path, or the bytes of an encoded file.
        min_side: int or None. Where given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as
            long as neither side falls below `min_side` pixels. Saves most of the time that large
            photographs take; the aspect ratio is kept.
        max_pixels: int, width x height that is still decoded; None for
            `PIL.Image.MAX_IMAGE_PIXELS`.
        exif: bool, whether the EXIF orientation is applied.
        formats: Pillow's names of the formats that are tried.

    Returns:
        A loaded `PIL.Image.Image` of mode "RGB".

    Raises:
        DataError: the file is missing, no regular file, empty, no image, damaged, or has more than
            `max_pixels` (a decompression bomb).
    """
    try:
        with open_image(path_or_bytes, formats) as image:
            check_pixels(*image.size, max_pixels)
            if min_side is not None:
                image.draft(None, (min_side, min_side))  # does nothing unless it is a JPEG
            image.load()
            rgb = to_rgb(image)
            turn = UPRIGHT.get(orientation_of(image)) if exif else None
            return rgb if turn is None else rgb.transpose(turn)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise DataError(f"cannot be decoded: {reason_of(error)}") from error


@dataclass(frozen=True)
class Header:
    """What an image file says of itself: width and height in pixels, Pillow's name of its mode."""

    width: int
    height: int
    mode: str


def check_file(path, max_pixels=None, formats=FORMATS):
    """Read an image file's header and look whether all of it is there, decoding only in doubt.

    Catches missing, empty, foreign and oversized files, broken PNG checksums and files that were
    cut short. Damage in the middle of a file shows only when it is decoded.

    Args:
        path: of the file. max_pixels, formats: see `read_rgb`.

    Returns:
        `Header`.

    Raises:
        DataError: as `read_rgb`.
    """
    try:
        with open_image(path, formats) as image:
            header = Header(*image.size, image.mode)
            check_pixels(*image.size, max_pixels)
            whole = _seems_whole(path, image)
            if image.format == "PNG":
                image.verify()
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"is not a readable image: {reason_of(error)}") from error
    if not whole:
        # Bytes after the end of a picture do no harm: only decoding tells them from a missing end.
        read_rgb(path, max_pixels=max_pixels, formats=formats)
    return header


def _seems_whole(path, image):
    """Whether a file ends as its format wants."""
    with open(path, "rb") as file:
        if image.format in _ENDS:
            file.seek(-min(16, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read().endswith(_ENDS[image.format])
        head, size = file.read(8), os.fstat(file.fileno()).st_size
    if image.format == "WEBP":
        return size >= 8 + int.from_bytes(head[4:8], "little")
    # BMP's size field is often wrong, and decoding costs little more than reading. AVIF, HEIC and JPEG
    # 2000 take long to decode: what lacks shows when it is met.
    return image.format != "BMP"


class TooManyPixels(DataError):
    """A picture that may be a decompression bomb."""


def check_pixels(width, height, max_pixels=None):
    """Raise TooManyPixels where a picture has more than `max_pixels`; see `read_rgb`."""
    limit = pixel_limit(max_pixels)
    if width * height > limit:
        raise TooManyPixels(
            f"has {width} x {height} pixels, more than the {limit} allowed against decompression "
            "bombs; shrink it, or raise the limit (max_image_pixels) if you trust it"
        )


def pixel_limit(max_pixels=None):
    """`max_pixels`, or Pillow's own limit. Pillow warns there, and refuses at twice as many."""
    return max_pixels or Image.MAX_IMAGE_PIXELS or math.inf


def allow_pixels(max_pixels):
    """Let Pillow open pictures of up to `max_pixels`: it has a limit of its own, for the process."""
    if max_pixels is not None and Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def open_image(path_or_bytes, formats=FORMATS):
    """`PIL.Image.Image` of a file, nothing decoded yet; a DataError where it is none to be opened."""
    return Image.open(checked_file(path_or_bytes), formats=formats)


def checked_file(path_or_bytes):
    """A path of a regular file that holds something, or its bytes as a file."""
    if isinstance(path_or_bytes, bytes):
        size = len(path_or_bytes)
        file = io.BytesIO(path_or_bytes)
    else:
        status = os.stat(path_or_bytes)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("is no regular file")  # opening a pipe would wait for ever
        size = status.st_size
        file = path_or_bytes
    if size == 0:
        raise DataError("is empty (zero bytes)")
    return file


def to_rgb(image):
    """A loaded picture of any of Pillow's modes as one of mode "RGB", see `read_rgb`."""
    if image.mode.startswith("I"):  # 16-bit grey: "I;16", its byte orders, and "I"
        grey = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))  # rounded; 65535 -> 255
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def orientation_of(image):
    """EXIF's number for how a picture lies, 1 to 8; None where it does not say."""
    with contextlib.suppress(Exception):  # a damaged EXIF block is no reason to lose a good picture
        return image.getexif().get(_ORIENTATION_TAG)


def reason_of(error):
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "it is not there (any more)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}".rstrip(": ")
