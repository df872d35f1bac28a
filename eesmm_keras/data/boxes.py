"""Labels that are boxes around objects, each with its class."""

from typing import NamedTuple

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import Chosen
from eesmm_keras.data.labels import BOXES, Labels
from eesmm_keras.ops.box_marks import CROWD, NO_BOX

# A box stays in a view that shows this share of its area, and a pixel of each of its sides.
_SHOWN = 0.25


class Truth(NamedTuple):
    """What is in an image.

    Attributes:
        size: `(width, height)` of the image in pixels, upright.
        boxes: float32 `(n, 4)`: left, top, right, bottom in pixels.
        classes: int64 `(n,)`. crowd: bool `(n,)`, whether it is around many objects, not told apart.
    """

    size: tuple
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray


class Boxes(Labels):
    """See `Labels`. What is shown is float32 `(rows, 5)`: class, left, top, right, bottom in pixels of
    the view; rows behind the last box have the class `NO_BOX`, crowds `CROWD`.

    Args:
        truths: sequence of `Truth`, one for each image.
        rows: the most boxes that any image has: batches need a fixed number.
    """

    kind, exact, dtype = BOXES, True, "float32"

    def __init__(self, truths, rows):
        self.truths, self.rows = truths, max(1, rows)

    def take(self, indices):
        return Boxes(Chosen(self.truths, indices), self.rows)

    def read(self, i, picture):
        truth = self.truths[i]
        if truth.size != tuple(picture):
            raise DataError(
                f"has {picture[0]} x {picture[1]} pixels, upright, and its annotations say "
                f"{truth.size[0]} x {truth.size[1]}: they must be the same"
            )
        return truth

    def at(self, indices):
        return [self.truths[int(i)] for i in indices]

    def shape(self, size):
        return (self.rows, 5)

    def show(self, label, place, size):
        shown = boxes_in_view(label.boxes, place, size)
        width, height = np.maximum(shown[:, 2:] - shown[:, :2], 0).T
        left, top, right, bottom = place.box
        scale = (size[1] / (right - left)) * (size[0] / (bottom - top))
        whole = np.prod(label.boxes[:, 2:] - label.boxes[:, :2], axis=1) * scale
        kept = (width >= 1) & (height >= 1) & (width * height >= _SHOWN * whole)
        rows = np.zeros((self.rows, 5), np.float32)
        rows[:, 0] = NO_BOX
        count = int(kept.sum())
        rows[:count, 0] = np.where(label.crowd, CROWD, label.classes)[kept]
        rows[:count, 1:] = shown[kept]
        return rows


def boxes_in_view(boxes, place, size):
    """Boxes of an image where its view shows them, cut off at the borders of the view.

    Args:
        boxes: `(n, 4)` in pixels of the image. place: `views.Place`. size: `(H, W)` of the view.

    Returns:
        float32 `(n, 4)` in pixels of the view; what lies outside has no area.
    """
    left, top, right, bottom = place.box
    height, width = size
    scale = np.array([width / (right - left), height / (bottom - top)] * 2)
    found = (boxes - np.array([left, top] * 2)) * scale
    if place.mirrored:
        found[:, [0, 2]] = width - found[:, [2, 0]]
    return np.clip(found, 0, [width, height] * 2).astype(np.float32)
