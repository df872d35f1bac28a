"""A list of images that are decoded one by one, and the rules by which lists are split."""

import contextlib
import threading

import numpy as np
from PIL import Image

from eesmm_keras.data._paths import PathList, printable
from eesmm_keras.data.decoding import read_rgb
from eesmm_keras.data.errors import DataError


class ImageSource:
    """Images by index, with labels where there are any. Safe to use from several threads.

    Args:
        name: str, what the user called it.
        items: `PathList`, list of bytes of encoded files, or a uint8 array `(n, H, W, 3)`.
        labels: int64 array `(n,)`, or None.
        class_names: tuple of str, `class_names[label]`, or None where there are no labels.
        note: str, what the user should know about how the images were chosen; "" if nothing.
        bad: list of `(description, reason)`: files left out already.
        ids: list of str, names for items that are not paths, or None.
        max_pixels: int, see `decoding.read_rgb`.
        max_bad: int, see `limit_bad`; None for no limit.

    Attributes: the arguments, except `items` and `ids`. `bad` grows when images fail to decode.
    `failure` is the error that ended the reading, or None.
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
    ):
        self.name = name
        self.labels = None if labels is None else np.asarray(labels, np.int64)
        self.class_names = None if class_names is None else tuple(class_names)
        self.note = note
        self.bad = list(bad)
        self.max_pixels = max_pixels
        self.max_bad = max_bad
        self.failure = None
        self._items = items
        self._ids = ids
        self._failed = set()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._items)

    def take(self, indices):
        """A source of some of these images, with the same classes.

        Args:
            indices: int array, in the order wanted.
        """
        indices = [int(i) for i in indices]
        items = self._items
        if isinstance(items, PathList):
            items = items.take(indices)
        elif isinstance(items, np.ndarray):
            items = items[indices]
        else:
            items = [items[i] for i in indices]
        return ImageSource(
            self.name,
            items,
            None if self.labels is None else self.labels[indices],
            self.class_names,
            self.note,
            self.bad,
            None if self._ids is None else [self._ids[i] for i in indices],
            self.max_pixels,
            self.max_bad,
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
        shown = "; ".join(f"{what} {why}" for what, why in self.bad[:3])
        self.failure = DataError(
            f"{len(self.bad)} images of '{self.name}' cannot be read, more than the {self.max_bad} "
            f"that may be skipped. The first: {shown}. Repair or remove them (`eesmm doctor --list "
            "FILE` names them all), check the disk, or allow more with --max-bad-images."
        )
        raise self.failure

    def describe(self, i):
        """What to call image `i` in a message: its path or its id."""
        return printable(self._items[i]) if self._ids is None else self._ids[i]

    def load(self, i, min_side=None):
        """Decode image `i`.

        Args:
            i: int in [0, len).
            min_side: see `decoding.read_rgb`.

        Returns:
            `PIL.Image.Image` of mode "RGB".

        Raises:
            DataError: it cannot be decoded. The failure is recorded in `bad`, once. Or too many
                could not be; `failure` is that error then.
        """
        item = self._items[i]
        if isinstance(item, np.ndarray):
            return Image.fromarray(item)
        try:
            return read_rgb(item, min_side, self.max_pixels)
        except DataError as error:
            with self._lock:
                if i not in self._failed:
                    self._failed.add(i)
                    self.bad.append((self.describe(i), str(error)))
                self._check_bad()
            raise DataError(f"{self.describe(i)} {error}") from error

    def load_good(self, i, min_side=None):
        """Decode image `i`, or the next one in order (around the end) that can be decoded.

        Returns:
            `(image, index)`, where `index` is that of the image returned.

        Raises:
            DataError: not one image can be decoded, or too many could not be.
        """
        for index in ((i + k) % len(self) for k in range(len(self))):
            if index not in self._failed:
                try:
                    return self.load(index, min_side), index
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


def all_bad(name, bad):
    """The DataError for a source of which nothing is left."""
    shown = "; ".join(f"{what}: {why}" for what, why in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return DataError(
        f"None of the {len(bad)} images of '{name}' can be read. {shown}{more}. "
        "Expected JPEG, PNG, BMP, GIF or WebP files that open in an image viewer."
    )


def choose_part(parts, split):
    """Which part of a data set answers for `split`.

    Args:
        parts: the parts that exist: a set of "train", and perhaps "val" and "test".
        split: None, "train", "val" or "test".

    Returns:
        `(part, piece, note)`. `piece` is "all", or "train" / "val": what is kept of `part`, or held
        out of it, by `stratified_split`. `note` tells of a "test" that had to be the "val" images.

    None is everything that pre-training may see: all of "train".
    """
    if split not in (None, "train", "val", "test"):
        raise DataError(f"split must be None, 'train', 'val' or 'test', got {split!r}.")
    if split is None:
        return "train", "all", ""
    if split in parts and (split != "train" or "val" in parts):
        return split, "all", ""
    if split == "train":
        return "train", "train", ""
    if split == "val":
        return "train", "val", ""
    part, piece, _ = choose_part(parts, "val")
    return part, piece, "There are no test images: 'test' is the validation images."


def stratified_split(labels, fraction, seed):
    """Hold out the same share of every class, as a pure function of the arguments.

    Args:
        labels: int array `(n,)`; all zeros where there are no labels.
        fraction: share held out, in (0, 1). A class of two or more keeps and holds out at least one
            image; a class of one keeps it.
        seed: int >= 0.

    Returns:
        `(kept, held)`: ascending int64 index arrays that share nothing and together are all n.

    Raises:
        DataError: `fraction` is not in (0, 1), or no class is large enough to hold anything out.
    """
    if not 0 < fraction < 1:
        raise DataError(f"val_fraction must lie between 0 and 1, got {fraction}.")
    labels = np.asarray(labels)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[np.random.default_rng((seed, int(label))).permutation(members)[:count]] = True
    if not held.any():
        raise DataError(
            f"Cannot split off validation images: {len(labels)} image(s) and no class with two. "
            "Add images, or give a separate val/ folder."
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def limit_source(source, limit=None, share=None, seed=0):
    """A random part of a source, the same share of every class where there are labels.

    Args:
        source: `ImageSource`.
        limit: int, images wanted; None for no limit.
        share: in (0, 1], share of every class instead, at least one image each; None for all.
        seed: int >= 0: the part is a function of it.

    Returns:
        `ImageSource`, the same one if nothing is left out.
    """
    if share is None:
        share = 1.0 if limit is None else min(1.0, limit / len(source))
    if share >= 1:
        return source
    labels = np.zeros(len(source), np.int64) if source.labels is None else source.labels
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, round(share * len(members)))
        kept.append(np.random.default_rng((seed, int(label))).permutation(members)[:count])
    return source.take(np.sort(np.concatenate(kept)))


def piece_indices(piece, labels, count, val_fraction, seed):
    """The indices that `piece` of `choose_part` keeps of `count` images (`labels` may be None)."""
    if piece == "all":
        return np.arange(count)
    strata = np.zeros(count, np.int64) if labels is None else labels
    kept, held = stratified_split(strata, val_fraction, seed)
    return kept if piece == "train" else held
