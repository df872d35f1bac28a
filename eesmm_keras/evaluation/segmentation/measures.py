"""Numbers that tell how well masks agree."""

import numpy as np
from PIL import Image

# Of models whose answers are places in an image.
NO_TILES = "This model is asked about whole images, not about tiles: leave out --tile."


def masks_of(logits):
    """The most probable class of every pixel: `(..., K)` -> uint8 `(...)`."""
    return np.asarray(logits).argmax(-1).astype(np.uint8)


def in_size(mask, size):
    """A mask, uint8 `(h, w)`, in the size `(width, height)`; nearest pixels."""
    if mask.shape[::-1] == tuple(size):
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def confusions(truth, said, classes):
    """int64 `(classes, classes)`: pixels of each class (rows) by what was said of them.

    Args:
        truth, said: integer arrays of one shape. Where `truth` is no class, pixels don't count.
    """
    counted = truth < classes
    pairs = truth[counted].astype(np.int64) * classes + said[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def intersection_over_union(counts):
    """IoU of each class by its confusions; NaN for a class that is neither there nor said."""
    both = np.diag(counts)
    either = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def pixel_accuracy(counts):
    """Share of the pixels that are right; NaN where none counts."""
    total = counts.sum()
    return float(np.diag(counts).sum() / total) if total else float("nan")
