"""Which files of a folder are its images.

Where a folder holds JPEG, PNG, BMP, GIF or WebP files, other formats are read only if pixels are asked
for: a run that was begun on it goes on with the same images.
"""

import os
from dataclasses import replace

import numpy as np

from eesmm_keras.data.files import SUFFIXES, known_formats
from eesmm_keras.data.paths import PathList, scan
from eesmm_keras.data.reading import NATIVE


def list_images(folder, pixels=None, follow_links=False):
    """The image files below a folder.

    Args:
        pixels: of the `Reading`. None: where there are JPEG, PNG, BMP, GIF or WebP files, these alone;
            otherwise those of every known format.
        follow_links: see `paths.scan`.

    Returns:
        `(Listing, pixels, left)`: the pixels, "native" where there are only files of other formats and
        not all of them are 8-bit pictures; and how many files of other formats were left aside.

    Raises:
        DataError: a folder cannot be listed.
    """
    listing = scan(folder, (*SUFFIXES, *known_formats()), follow_links)
    if pixels is not None:
        return listing, pixels, 0
    usual = np.array([name.lower().endswith(SUFFIXES) for name in listing.paths.names()], bool)
    if usual.all() and len(usual):
        return listing, None, 0
    if usual.any():
        return _some(listing, usual), None, int((~usual).sum())
    suffixes = {os.path.splitext(name)[1].lower() for name in listing.paths.names()}
    pictures = all(known_formats()[suffix].pillow for suffix in suffixes)
    return listing, None if pictures else NATIVE, 0


def _some(listing, chosen):
    names = [name for name, use in zip(listing.paths.names(), chosen, strict=True) if use]
    return replace(
        listing,
        paths=PathList(listing.paths.root, names),
        sizes=listing.sizes[chosen],
        times=listing.times[chosen],
    )
