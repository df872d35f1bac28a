"""Tiles of the photographs that scikit-image brings along: real images without a network."""

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices

# Functions of skimage.data whose files are in its package.
_PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
_SIDE = 32
_TILES = {"train": 250, "test": 60}
# Tiles of "train" lie to the left of this share of a photograph's width, those of "test" to the right.
_BORDER = 0.7
# The tiles must be the same ones in every run, whatever the seed.
_PLACES_SEED = 0


class PhotoTiles(Source):
    """Tiles of 32 x 32 pixels, cut at random places of 16 photographs; the class is the photograph.

    "test" is cut from the right 30 % of every photograph, so that no pixel of it is in another part;
    None is everything else; "train" and "val" divide that by `seed` and `val_fraction`.
    """

    spelling = "photo-tiles (cut from scikit-image's photographs)"

    def matches(self, spec):
        return spec == "photo-tiles"

    def open(self, spec, split, options):
        part, piece, note = choose_part(set(_TILES), split)
        labels = np.repeat(np.arange(len(_PHOTOGRAPHS)), _TILES[part])
        index = piece_indices(piece, labels, options.val_fraction, options.seed)
        tiles, names = zip(*(cut for name in _PHOTOGRAPHS for cut in _cut(name, part)), strict=True)
        return ImageSource(
            spec,
            np.stack(tiles)[index],
            labels=labels[index],
            class_names=_PHOTOGRAPHS,
            note=note,
            ids=[names[i] for i in index],
        )


def _cut(name, part):
    """Pairs `(uint8 tile, its name)` of one part of a photograph."""
    photograph = _photograph(name)
    height, width = photograph.shape[:2]
    border = round(_BORDER * width)
    left, right = (0, border) if part == "train" else (border, width)
    rng = np.random.default_rng((_PLACES_SEED, _PHOTOGRAPHS.index(name), part == "test"))
    for _ in range(_TILES[part]):
        y = int(rng.integers(0, height - _SIDE + 1))
        x = int(rng.integers(left, right - _SIDE + 1))
        yield photograph[y : y + _SIDE, x : x + _SIDE], f"{name} at {x}, {y}"


def _photograph(name):
    """uint8 `(H, W, 3)`; grey ones have three equal channels."""
    try:
        from skimage import data
    except ImportError:
        raise DataError(
            "photo-tiles are cut from scikit-image's photographs: pip install 'eesmm-keras[demo]'."
        ) from None
    pixels = getattr(data, name)()
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
