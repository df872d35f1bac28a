"""Images by name, decoded ahead of their use: what is asked about them is asked batch after batch."""

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from eesmm_keras.data.channels import size_of
from eesmm_keras.data.decoding import allow_pixels
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.files import SUFFIXES
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.listing import list_images
from eesmm_keras.data.paths import PathList
from eesmm_keras.data.reading import Reading, settled
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.splits import NO_TEST
from eesmm_keras.data.views import still_view

_BATCHES_AHEAD = 2


class Names(Lazy):
    """What the images of a source are called: strings, bytes that are no UTF-8 as `os.fsdecode` has
    them."""

    def digest(self):
        """Hash of all of them, in order."""
        found = hashlib.sha256()
        for name in self:
            found.update(os.fsencode(name) + b"\0")
        return found.hexdigest()[:16]


class Batch(NamedTuple):
    """Some images, in the order of their source.

    Attributes:
        images: uint8 or float32 `(B, H, W, C)`, always of the same B: a place without an image is 0.
        first: number of the first one.
        good: int array, the places in `images` that hold an image.
        bad: `{number: reason}` of those that cannot be read.
        sizes: `{place: (width, height)}` of the good ones, in pixels, as they were decoded.
    """

    images: np.ndarray
    first: int
    good: np.ndarray
    bad: dict
    sizes: dict


def open_files(
    spec, split=None, *, max_image_pixels=None, follow_links=False, data_dir=None, reading=None
):
    """All images below a folder (of whatever layout), one image file, or a data set by its name.

    Unlike `open_source`, a folder is not divided into parts and classes, and its files are opened only
    when they are decoded.

    Args:
        spec: a folder, a file, or anything else that `open_source` takes.
        split: "train", "val" or "test" of a data set; None: its test images, as evaluation takes them,
            or all that it has where it has none. The source's `note` says which.
        others: see `open_source`.

    Returns:
        `(source, names)`: `ImageSource` and `Names`, those of files relative to the folder.

    Raises:
        DataError: nothing there, no images, or none that can be decoded; or a split of a folder.
    """
    spec = str(spec)
    if split and os.path.exists(spec):
        raise DataError(
            f"--split is of data sets; all images of '{spec}' are taken. Name the folder of a part."
        )
    if not os.path.exists(spec):
        source = _part(
            spec,
            split,
            data_dir=data_dir,
            max_image_pixels=max_image_pixels,
            follow_links=follow_links,
            reading=reading,
        )
        names = Names(len(source), source.describe)
    else:
        reading = reading or Reading()
        paths, links, pixels = _files(spec, follow_links, reading.pixels)
        note = f"{links} link(s) that lead out of the folder were not followed." if links else ""
        allow_pixels(max_image_pixels)
        source = ImageSource(
            spec,
            paths,
            note=note,
            max_pixels=max_image_pixels,
            reading=settled(reading.replaced(pixels=pixels)),
        )
        names = Names(len(paths), paths.name)
    source.know_channels()
    source.load_good(0)
    return source, names


def _part(spec, split, **options):
    """The `ImageSource` of a part of a data set, see `open_files`."""
    if split:
        source = open_source(spec, split, **options)
        what = f"The {split} part of {spec}."
    elif (source := _test_part(spec, **options)) is not None:
        what = f"The test part of {spec} (--split takes another)."
    else:
        source = open_source(spec, **options)
        what = f"All of {spec}: it has no test part."
    source.note = f"{what} {source.note}".strip()
    return source


def _test_part(spec, **options):
    """The test images of a data set; None where it has none of its own."""
    try:
        source = open_source(spec, "test", **options)
    except DataError:  # no images to divide: what opens them all tells why
        return None
    return None if NO_TEST in source.note else source


def _files(spec, follow_links, pixels):
    """`(PathList, links not followed, pixels)`."""
    if not os.path.isdir(spec):
        folder, name = os.path.split(spec)
        return PathList(folder, [name]), 0, pixels
    listing, pixels, _ = list_images(spec, pixels, follow_links)
    if not len(listing.paths):
        raise DataError(
            f"'{spec}' holds no images. Expected files that end in {', '.join(SUFFIXES)}, in it or in "
            "folders below it."
        )
    return listing.paths, listing.links, pixels


def stream(source, size, batch_size, start=0, whole=False):
    """The central crops of all images, as evaluation sees them, in order and in constant memory.

    Args:
        source: `ImageSource`.
        size: the side of the crops in pixels, or `(H, W)`.
        batch_size: images in a batch.
        start: number of the first image wanted.
        whole: bool, all of an image, decoded in its full size, instead of its centre.

    Yields:
        `Batch`.
    """
    view = still_view(size, whole)

    def read(i):
        try:
            image = source.load(i, view.min_side)
            return view(image), size_of(image)
        except DataError as error:
            if source.failure is not None:
                raise
            return str(error.__cause__ or error)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        waiting = deque()
        try:
            for first in range(start, len(source), batch_size):
                numbers = range(first, min(first + batch_size, len(source)))
                waiting.append((first, [pool.submit(read, i) for i in numbers]))
                if len(waiting) > _BATCHES_AHEAD:
                    yield _joined(*waiting.popleft(), batch_size)
            while waiting:
                yield _joined(*waiting.popleft(), batch_size)
        finally:
            pool.shutdown(cancel_futures=True)


def _joined(first, futures, batch_size):
    results = [future.result() for future in futures]
    good = [k for k, result in enumerate(results) if not isinstance(result, str)]
    bad = {first + k: result for k, result in enumerate(results) if isinstance(result, str)}
    if not good:
        return Batch(np.zeros((0,), np.uint8), first, np.zeros(0, np.int64), bad, {})
    first_one = results[good[0]][0]
    images = np.zeros((batch_size, *first_one.shape), first_one.dtype)
    for k in good:
        images[k] = results[k][0]
    return Batch(images, first, np.array(good), bad, {k: results[k][1] for k in good})
