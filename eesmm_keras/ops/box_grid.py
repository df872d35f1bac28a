"""The places of a feature pyramid, at each of which a box may be said."""

import numpy as np
from keras import ops

# Side of the square that a place begins with, in strides of its level, as RetinaNet's smallest anchor.
_SIDE = 4
# Logarithm of the most by which a side may differ from that of the square.
_LARGEST = 5.0


class BoxGrid:
    """Constants of the places of some maps, level behind level, rows from the top.

    Args:
        maps: list of `(h, w)`, the finest first. size: `(H, W)` of the images in pixels.

    Attributes:
        size: see above. sides: float32 `(levels, 2)`, width and height of each level's square.
        levels: int `(places,)`. centres: float32 `(places, 2)`, x and y in pixels.
        strides: float32 `(places, 2)`, between neighbours along x and y.
    """

    def __init__(self, maps, size):
        height, width = self.size = tuple(size)
        steps = np.array([(width / columns, height / rows) for rows, columns in maps])
        self.levels = np.repeat(np.arange(len(maps)), [rows * columns for rows, columns in maps])
        places = [np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1) for h, w in maps]
        places = np.concatenate([place.reshape(-1, 2) for place in places])
        self.strides = steps[self.levels].astype(np.float32)
        self.centres = ((places + 0.5) * steps[self.levels]).astype(np.float32)
        self.sides = (_SIDE * steps).astype(np.float32)

    def __len__(self):
        return len(self.levels)

    def decode(self, numbers):
        """Boxes (left, top, right, bottom in pixels) that numbers stand for, both `(B, places, 4)`.

        The first two move the centre by strides of the level, the others are logarithms of what its
        square's width and height are multiplied by.
        """
        centres = ops.add(ops.multiply(numbers[..., :2], self.strides), self.centres)
        halves = ops.exp(ops.clip(numbers[..., 2:], -_LARGEST, _LARGEST))
        halves = ops.multiply(halves, self.sides[self.levels] / 2)
        return ops.concatenate([centres - halves, centres + halves], axis=-1)
