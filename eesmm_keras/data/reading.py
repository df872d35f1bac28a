"""How image files become pixels: which channels, of which numbers, turned or not, whole or a window."""

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property

import numpy as np

from eesmm_keras.checks import MAX_CHANNELS
from eesmm_keras.data.errors import DataError
from eesmm_keras.image_size import both_sides, plain_size

# The third is "native" as the files hold it, neither made float32 nor scaled: for measuring.
EIGHT_BITS, NATIVE, RAW = "uint8", "native", "raw"


@dataclass(frozen=True)
class Reading:
    """What is read of every image file of a source. The default is upright 8-bit RGB.

    Args:
        channels: int, how many the pictures have. None: 3 of 8-bit pixels, the first file's of native.
        bands: numbers of the channels that are taken, in their order, from 1; None: all.
        pixels: "uint8": 8 bits; 16 bits are scaled down. "native": the files' own numbers, as float32.
            None: of a folder, see `data.listing`; else "uint8".
        exif: bool, whether pictures are turned as EXIF (or TIFF) says that they lie.
        pages: "first" of a file with several, or "all" of them as further channels.
        tile: int or `(H, W)`: a window of so many pixels stands for the image. None: the whole.
        low, high: of each channel, which native value is 0 and which 255; None: as they are.

    Raises:
        DataError: an argument out of its range, or two that do not fit together.
    """

    channels: int | None = None
    bands: tuple | None = None
    pixels: str | None = None
    exif: bool = True
    pages: str = "first"
    tile: tuple | None = None
    low: tuple | None = None
    high: tuple | None = None

    def __post_init__(self):
        def keep(name, value):
            object.__setattr__(self, name, value)

        if self.bands is not None:
            keep("bands", _checked_bands(self.bands))
            if self.channels not in (None, len(self.bands)):
                raise DataError(
                    f"--channels {self.channels} and {len(self.bands)} --bands do not fit together: "
                    "leave out --channels, or give as many bands."
                )
            keep("channels", len(self.bands))
        if self.channels is not None and not 1 <= self.channels <= MAX_CHANNELS:
            raise DataError(f"channels must lie in 1..{MAX_CHANNELS}, got {self.channels}.")
        _check_name("pixels", self.pixels, (None, EIGHT_BITS, NATIVE, RAW))
        _check_name("pages", self.pages, ("first", "all"))
        if self.tile is not None:
            try:
                keep("tile", both_sides(self.tile))
            except ValueError as error:
                raise DataError(f"tile: {error}.") from error
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                keep(name, tuple(float(value) for value in getattr(self, name)))
        if self.low is not None and not np.all(np.less(self.low, self.high)):
            raise DataError(f"low must lie below high, got {self.low} and {self.high}.")

    @property
    def native(self):
        """bool: whether the pictures are float32."""
        return self.pixels in (NATIVE, RAW)

    @property
    def dtype(self):
        """NumPy's kind of the pictures' numbers."""
        return np.dtype(np.float32 if self.native else np.uint8)

    @property
    def plain(self):
        """bool: whether the pictures are RGB of 8 bits, which Pillow gives and resizes at once."""
        return self.channels in (None, 3) and self.bands is None and not self.native

    @cached_property  # every image asks
    def usual(self):
        """bool: whether files that Pillow opens are read as they always were: whole, upright RGB."""
        return self.plain and self.exif and self.tile is None

    def facts(self):
        """What differs from the default, in plain types that JSON has; None where nothing does.

        A model keeps it, so that later commands read images as it was trained on them.
        """
        told = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value != getattr(type(self), key)
        }
        if self.plain:
            told.pop("channels", None)
        if "tile" in told:
            told["tile"] = plain_size(told["tile"])
        return told or None

    @classmethod
    def of(cls, facts):
        """From what `facts` gave, or a model holds.

        Raises:
            DataError: it is of another kind.
        """
        known = {field.name for field in fields(cls)}
        if facts is not None and (not isinstance(facts, dict) or set(facts) - known):
            raise DataError(f"What the model says of its images is damaged: {str(facts)[:100]}.")
        try:
            return cls(**(facts or {}))
        except TypeError as error:
            raise DataError(f"What the model says of its images is damaged: {error}.") from error

    def replaced(self, **changes):
        """The same but for some arguments."""
        return replace(self, **changes)


def settled(reading):
    """The same reading in one form: 8-bit RGB is the default, however it was said."""
    return reading.replaced(channels=None, low=None, high=None) if reading.plain else reading


def _checked_bands(bands):
    bands = tuple(bands)
    whole = all(isinstance(band, int) and not isinstance(band, bool) for band in bands)
    if not bands or len(bands) > MAX_CHANNELS or not whole or min(bands) < 1:
        raise DataError(
            f"bands must be 1 to {MAX_CHANNELS} whole numbers, counted from 1, got {bands}."
        )
    return bands


def _check_name(name, value, known):
    if value not in known:
        words = " or ".join(repr(word) for word in known if word not in (None, RAW))
        raise DataError(f"{name} must be {words}, got {value!r}.")
