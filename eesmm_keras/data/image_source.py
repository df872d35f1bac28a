"""A list of images that are decoded one by one."""

import contextlib
import os
import threading
from collections.abc import Sequence

import numpy as np
from PIL import Image

from eesmm_keras.data.channels import size_of
from eesmm_keras.data.decoding import read_rgb
from eesmm_keras.data.errors import DataError, all_bad, too_many_bad
from eesmm_keras.data.files import format_of
from eesmm_keras.data.jpeg import plain_jpeg
from eesmm_keras.data.labels import ClassNumbers, Labels
from eesmm_keras.data.paths import printable
from eesmm_keras.data.reader import read_picture, read_tiles
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.windows import PlainJpeg, StoredPicture

_PLAIN = Reading()


class Chosen(Sequence):
    """Some items of a sequence, in the order of `indices`; none is taken before it is asked for.

    Args: `items`, anything with `__len__` and `__getitem__`; `indices`, ints, positions in it.
    """

    def __init__(self, items, indices):
        indices = np.asarray(indices, np.int64)
        if isinstance(items, Chosen):
            items, indices = items.items, items.indices[indices]
        self.items, self.indices = items, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, i):
        return self.items[int(self.indices[i])]


class ImageSource:
    """Images by index, with labels where there are any. Safe to use from several threads.

    Args:
        name: str, what the user called it.
        items: a sequence (`__len__` and `__getitem__`, from several threads), which may be lazy. An
            item is a path, the bytes of an encoded file, an array `(H, W, C)` or `(H, W)`, or a
            `windows.StoredPicture`; it may raise a DataError, which makes it a bad image.
        labels: int64 array `(n,)`, class numbers, or None; or `Labels` of another kind, such as masks.
        class_names: tuple of str, `class_names[class number]`, or None where there are no labels.
        note: str, what the user should know about how the images were chosen, or "".
        bad: list of `(description, reason)`: files left out already.
        ids: a sequence of str, names for items that are not paths, or None.
        max_pixels: int, see `decoding.read_rgb`.
        max_bad: int, see `limit_bad`; None for no limit.
        reading: `Reading`, what is read of every image; None: upright 8-bit RGB, or what `open_source`
            was asked for.

    Attributes: the arguments but `items` and `ids`; `labels` is None where they are no class numbers.
    `annotations`: `Labels` of whatever kind, or None. `bad` grows when images fail to decode. `failure`
    is the error that ended the reading, or None.
    """

    def __init__(
        self,
        name,
        items,
        labels=None,
        class_names=None,
        note="",
        bad=(),
        ids=None,
        max_pixels=None,
        max_bad=None,
        reading=None,
    ):
        self.name = name
        self.labels = labels
        self.class_names = None if class_names is None else tuple(class_names)
        self.note = note
        self.bad = list(bad)
        self.max_pixels = max_pixels
        self.max_bad = max_bad
        self.reading = reading
        self.failure = None
        self._items = items
        self._ids = ids
        self._failed = set()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._items)

    @property
    def labels(self):
        """int64 array `(n,)` of class numbers, or None; see `annotations` for labels of any kind."""
        return self.annotations.numbers if isinstance(self.annotations, ClassNumbers) else None

    @labels.setter
    def labels(self, labels):
        plain = labels is None or isinstance(labels, Labels)
        self.annotations = labels if plain else ClassNumbers(labels)

    def take(self, indices):
        """A source of some of these images, with the same classes.

        Args:
            indices: int array, in the order wanted.
        """
        indices = np.asarray(indices, np.int64)
        return ImageSource(
            self.name,
            Chosen(self._items, indices),
            None if self.annotations is None else self.annotations.take(indices),
            self.class_names,
            self.note,
            self.bad,
            None if self._ids is None else Chosen(self._ids, indices),
            self.max_pixels,
            self.max_bad,
            self.reading,
        )

    def limit_bad(self, count):
        """Stop reading once more than `count` images have turned out bad, those known included.

        Raises:
            DataError: there are more already.
        """
        self.max_bad = count
        self._check_bad()

    def _check_bad(self):
        if self.max_bad is None or len(self.bad) <= self.max_bad:
            return
        self.failure = too_many_bad(self.name, self.bad, self.max_bad)
        raise self.failure

    def good_indices(self):
        """Numbers of the images that have not failed to decode so far, an int64 array in order."""
        return np.setdiff1d(np.arange(len(self)), np.array(sorted(self._failed), np.int64))

    def describe(self, i):
        """What to call image `i` in a message: its path or its id."""
        if self._ids is not None:
            return self._ids[i]
        with contextlib.suppress(DataError):  # an item that cannot be had has no path
            item = self._items[i]
            if isinstance(item, str | os.PathLike):
                return printable(str(item))
        return f"image {i} of '{self.name}'"

    def know_channels(self):
        """Where nobody said how many channels native pixels have, look at the first picture.

        Raises:
            DataError: no image can be read.
        """
        reading = self.reading or _PLAIN
        if reading.native and reading.channels is None:
            self.reading = reading.replaced(channels=self.load_good(0)[0].shape[2])

    @property
    def channels(self):
        """int: channels of every picture."""
        self.know_channels()
        return (self.reading or _PLAIN).channels or 3

    @property
    def dtype(self):
        """NumPy's kind of the pictures' numbers: uint8 or float32."""
        return (self.reading or _PLAIN).dtype

    def load(self, i, min_side=None, seed=None, by_window=False):
        """Decode image `i`.

        Args:
            i: int in [0, len). min_side: see `decoding.read_rgb`.
            seed: ints that decide where the reading's tile lies; None: in the middle.
            by_window: whether a `windows.Picture` is welcome, windows of which are decoded.

        Returns:
            `PIL.Image.Image` of mode "RGB" or "L", or an array `(H, W, C)` of `dtype`, see
            `reader.read_picture`; or a `windows.Picture`.

        Raises:
            DataError: it cannot be decoded. The failure is recorded in `bad`, once. Or too many
                could not be; `failure` is that error then.
        """
        with self._noting(i):
            return self._decode(i, min_side, seed, by_window)

    def load_labelled(self, i, min_side=None, seed=None, by_window=False):
        """`(image, label)`, see `load` and `Labels.read`; an image whose label is bad is bad."""
        with self._noting(i):
            min_side = None if self.annotations.exact else min_side
            image = self._decode(i, min_side, seed, by_window)
            return image, self.annotations.read(i, size_of(image))

    def tiles(self, i, overlap=0.0):
        """Decode image `i` tile by tile; see `reader.read_tiles`, whose pictures it yields.

        Args:
            i: int in [0, len). overlap: share of a tile's side, in [0, 1).

        Raises:
            DataError: as `load`; there may have been tiles before.
        """
        with self._noting(i):
            yield from read_tiles(self._items[i], self.reading, overlap, self.max_pixels)

    @contextlib.contextmanager
    def _noting(self, i):
        """Record in `bad` that image `i` cannot be decoded, and say which one it is."""
        try:
            yield
        except DataError as error:
            with self._lock:
                if i not in self._failed:
                    self._failed.add(i)
                    self.bad.append((self.describe(i), str(error)))
                self._check_bad()
            raise DataError(f"{self.describe(i)} {error}") from error

    def _decode(self, i, min_side, seed, by_window):
        item = self._items[i]
        reading = self.reading or _PLAIN
        by_window = by_window and reading.usual
        if isinstance(item, StoredPicture):
            if by_window and item.gives_windows(min_side, self.max_pixels):
                return item
            item = item.whole()
        elif by_window and isinstance(item, str | os.PathLike | bytes):
            plain = plain_jpeg(item, min_side, self.max_pixels)
            if plain is not None:
                return PlainJpeg(*plain)
        if not reading.usual:
            draw = None if seed is None or not reading.tile else np.random.default_rng(seed)
            return read_picture(item, reading, min_side, self.max_pixels, draw)
        if isinstance(item, np.ndarray):
            image = Image.fromarray(item)
            return image if image.mode == "RGB" else image.convert("RGB")
        if format_of(item) is None:
            return read_rgb(item, min_side, self.max_pixels)
        return read_picture(item, reading, min_side, self.max_pixels)

    def load_good(self, i, min_side=None, seed=None, labelled=False, by_window=False):
        """Decode image `i`, or the next one in order (around the end) that can be decoded.

        Args:
            i, min_side, seed, by_window: see `load`. labelled: whether its label must be good, too.

        Returns:
            `(image, index)`, with the index of that image; with `labelled`, `((image, label), index)`.

        Raises:
            DataError: not one image can be decoded, or too many could not be.
        """
        load = self.load_labelled if labelled else self.load
        for index in ((i + k) % len(self) for k in range(len(self))):
            if index not in self._failed:
                try:
                    return load(index, min_side, seed, by_window), index
                except DataError:
                    if self.failure is not None:
                        raise self.failure from None
        # Another thread may have found too many bad ones before.
        self.failure = self.failure or all_bad(self.name, self.bad)
        raise self.failure


@contextlib.contextmanager
def plain_failures(*sources):
    """Raise a source's own failure, whatever a framework made of it on its way up."""
    try:
        yield
    except Exception:
        for source in sources:
            if source.failure is not None:
                raise source.failure from None
        raise
