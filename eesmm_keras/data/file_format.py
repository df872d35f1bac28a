"""The contract of an image file format beyond those that Pillow has always opened here."""

from dataclasses import dataclass
from typing import ClassVar

from eesmm_keras.data.decoding import TooManyPixels, check_pixels, pixel_limit
from eesmm_keras.data.errors import DataError

# Channels that the largest picture may have; a smaller one may have more.
_NUMBERS = 4


@dataclass(frozen=True)
class Picture:
    """An opened file whose numbers were not read yet.

    Attributes:
        width, height: in pixels. channels: numbers in a pixel. dtype: NumPy's name of their kind.
        read: function of `(top, left, height, width)` that gives an array `(height, width, channels)`.
        orientation: EXIF's number for how it lies, 1 to 8.
    """

    width: int
    height: int
    channels: int
    dtype: str
    read: object
    orientation: int = 1

    @property
    def mode(self):
        """What doctor shows: "uint16 x 5"."""
        return f"{self.dtype} x {self.channels}"


class FileFormat:
    """A kind of image file.

    The member NAME of the family is `data/files/NAME.py`, or a plug-in `files/NAME.py`.

    Attributes:
        suffixes: endings of such files' names, in lower case, with their dots.
        starts: bytes that such a file begins with, each with its offset: what is not a file with a name
            (a TFDS example, a member of a tar) is known by them.
        pillow: Pillow's name of the format, where Pillow reads it: an 8-bit picture, as JPEG is. Then
            `prepare` is all that is called.
        windows: whether `Picture.read` decodes little more than the window that it is asked for.
    """

    suffixes: ClassVar[tuple] = ()
    starts: ClassVar[tuple] = ()
    pillow = ""
    windows = False

    def prepare(self):
        """What must be done before the first file; a LacksLibrary names an extra that is not there."""

    def open(self, file, pages="first"):
        """A context manager that gives a `Picture`. Sizes are known before anything is allocated.

        Args:
            file: path or `io.BytesIO`.
            pages: "first", or "all": further pages (frames) of one size are further channels.

        Raises:
            DataError: it is of a kind that cannot be read. Other exceptions count as damage.
        """
        raise NotImplementedError


def need(module, extra, what):
    """A LacksLibrary that names the extra which brings a module, where it is not there."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise LacksLibrary(f"is {what}, which needs {module}: pip install 'eesmm-keras[{extra}]'")


class LacksLibrary(DataError):
    """A file that could be read if a library were installed."""


def check_sizes(width, height, channels, dtype, max_pixels=None, window=None):
    """Refuse what is too large before it is allocated, and numbers that are no pixel values.

    Args:
        window: `(height, width)` of the part that is read alone; None: all of it.

    Raises:
        DataError: the reason.
    """
    if min(width, height, channels) < 1:
        raise DataError(f"has {width} x {height} pixels of {channels} channels")
    rows, columns = window or (height, width)
    check_pixels(columns, rows, max_pixels)
    if rows * columns * channels > _NUMBERS * pixel_limit(max_pixels):
        raise TooManyPixels(
            f"has {columns} x {rows} pixels of {channels} channels, more numbers than {_NUMBERS} "
            "channels of the largest picture allowed; raise max_image_pixels if you trust it"
        )
    if dtype.kind not in "buif":
        raise DataError(f"holds {dtype} values; expected whole numbers or floats")
