"""What the pixel values of a source are, channel by channel: measured, kept in a file, read again."""

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import yaml

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.reading import RAW
from eesmm_keras.names import parse_yaml, shortened
from eesmm_keras.progress import track

PERCENTILES = (0.1, 1, 50, 99, 99.9)
# Images that are measured unless all are, and values of each channel that are kept of all together.
_IMAGES, _VALUES = 256, 2**19
_LARGEST_FILE = 2**20
# Of pixels scaled to 0..1: a channel of one value must not be divided by zero.
_LEAST_STD = 1e-3


@dataclass(frozen=True)
class Statistics:
    """Of each channel, in the order that a model sees them.

    Attributes:
        low, high: which raw value is pixel 0 and which 255.
        mean, std: of pixels scaled to 0..1, what a model is normalised with.
        minimum, maximum: raw values over all images measured.
        percentiles: {"0.1": raw values, ...}.
        images: how many were measured. dtype: of the files' numbers.
    """

    low: tuple
    high: tuple
    mean: tuple
    std: tuple
    minimum: tuple = ()
    maximum: tuple = ()
    percentiles: dict | None = None
    images: int = 0
    dtype: str = ""

    def __post_init__(self):
        if len({len(getattr(self, name)) for name in ("low", "high", "mean", "std")}) != 1:
            raise DataError("low, high, mean and std must hold one number for each channel.")
        numbers = [*self.low, *self.high, *self.mean, *self.std]
        if not all(_is_number(x) for x in numbers) or not self.low:
            raise DataError("low, high, mean and std must be lists of finite numbers.")
        if min(self.std) <= 0 or not np.all(np.less(self.low, self.high)):
            raise DataError("std must be above 0, and low below high.")

    def facts(self):
        """In plain types that YAML has."""
        told = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}

    @classmethod
    def of(cls, facts, where):
        """From what `facts` gave.

        Args:
            where: name of the place it comes from, for messages.

        Raises:
            DataError: something else.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(facts, dict) or set(facts) - known or not {"mean", "std"} <= set(facts):
            raise DataError(
                f"{where} holds no statistics: expected low, high, mean and std, one number for each "
                f"channel, as `eesmm doctor --write-stats FILE` writes them; got {shortened(facts)}."
            )
        try:
            count = len(facts["mean"])
            ends = {"low": [0.0] * count, "high": [255.0] * count}
            told = {k: tuple(v) if isinstance(v, list) else v for k, v in (ends | facts).items()}
            return cls(**told)
        except (DataError, TypeError) as error:
            raise DataError(f"{where} holds no statistics: {error}") from error

    def write(self, path):
        """Write a YAML file that a person can read and change.

        Raises:
            DataError: it cannot be written.
        """
        try:
            Path(path).write_text(yaml.safe_dump(self.facts(), sort_keys=False), "utf-8")
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror}.") from error

    @classmethod
    def read(cls, path):
        """From a YAML file.

        Raises:
            UserError: no such file, or something else in it.
        """
        try:
            if Path(path).stat().st_size > _LARGEST_FILE:
                raise DataError(f"{path} holds no statistics: it is too large.")
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"--stats {shortened(str(path), 100)}: expected auto, imagenet or a file of `eesmm "
                f"doctor --write-stats`; it cannot be read ({shortened(error, 100)})."
            ) from error
        return cls.of(parse_yaml(text, str(path)), str(path))


def _is_number(x):
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def measure(source, images=_IMAGES, ends="range"):
    """Statistics of an `ImageSource`, over some of its images, always the same ones.

    Args:
        images: at most so many, drawn at random; None: all.
        ends: of native pixels, which values are to be 0 and 255: "range", the smallest and largest; or
            "percentiles", the 0.1 and 99.9 %, and what lies beyond is clipped. 8-bit ones stay as they
            are.

    Raises:
        DataError: no image can be read.
    """
    # What the files hold: a range that is known already would have cut it.
    raw = source.take(np.arange(len(source)))
    if source.reading is not None and source.reading.native:
        raw.reading = source.reading.replaced(pixels=RAW, low=None, high=None)
    chosen = np.random.default_rng(0).permutation(len(raw))[:images]
    each = max(16, _VALUES // len(chosen))
    raw.load_good(0)
    parts, dtypes = [], set()
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda i: ([i], _look(raw, int(i), each)), chosen)
        for _, part in track(found, len(chosen), "measuring pixels"):
            if part is not None:
                parts.append(part[:3])
                dtypes.add(part[3])
    if not parts:
        raise DataError(f"None of the {len(chosen)} images taken from '{source.name}' can be read.")
    values = np.concatenate([values for values, _, _ in parts])
    minimum = np.min([low for _, low, _ in parts], axis=0).astype(float)
    maximum = np.max([high for _, _, high in parts], axis=0).astype(float)
    percentiles = {str(q): np.percentile(values, q, axis=0).tolist() for q in PERCENTILES}
    low, high = minimum, maximum
    if dtypes == {"uint8"}:
        low, high = np.zeros(len(low)), np.full(len(low), 255.0)
    elif ends == "percentiles":
        low, high = (np.array(percentiles[str(q)]) for q in (PERCENTILES[0], PERCENTILES[-1]))
    high = np.where(high > low, high, low + 1)
    pixels = np.clip((values - low) / (high - low), 0, 1)
    return Statistics(
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        mean=tuple(pixels.mean(axis=0).tolist()),
        std=tuple(np.maximum(pixels.std(axis=0), _LEAST_STD).tolist()),
        minimum=tuple(minimum.tolist()),
        maximum=tuple(maximum.tolist()),
        percentiles=percentiles,
        images=len(parts),
        dtype=", ".join(sorted(dtypes)),
    )


def _look(source, i, each):
    """`(some values (n, C), smallest of all (C,), largest (C,), dtype)`, or None of a bad image."""
    with contextlib.suppress(DataError):
        image = source.load(i)
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        flat = array.reshape(-1, array.shape[2])
        some = np.random.default_rng(i).integers(0, len(flat), min(each, len(flat)))
        return flat[some].astype(np.float64), flat.min(axis=0), flat.max(axis=0), array.dtype.name
    if source.failure is not None:
        raise source.failure
    return None
