"""What every place of a pyramid is to say: the box that it answers for, if any. Runs in `tf.data`."""

import numpy as np

from eesmm_keras.ops.box_marks import CROWD, NO_BOX

# Places within so many strides of a box's centre answer for it: three in a row.
_RADIUS = 1.5


def assign(grid, rows):
    """The box of every place.

    A box belongs to the level whose square is nearest to it in size (its side the root of the area,
    on a logarithmic scale). Of that level, those places answer for it that lie within it and within 1.5
    strides of its centre, and the place whose cell holds its centre: no box is without one, unless
    another takes it. Where several boxes want a place, the one of the smallest area has it. Other
    places in a crowd count nowhere.

    Args:
        grid: `BoxGrid`.
        rows: tensor of TensorFlow, float32 `(B, M, 5)`, see `data.boxes.Boxes`.

    Returns:
        float32 `(B, places, 5)`: class, or `NO_BOX` or `CROWD`; left, top, right, bottom in pixels, of
        any values where there is no class.
    """
    import tensorflow as tf

    kinds, low, high = rows[..., 0], rows[..., 1:3], rows[..., 3:]
    areas = tf.reduce_prod(high - low, axis=-1)
    sides = 0.5 * np.log(np.prod(grid.sides, axis=1))
    apart = tf.abs(0.5 * tf.math.log(tf.maximum(areas, 1e-6))[..., None] - sides)
    same = tf.argmin(apart, axis=-1)[:, None] == grid.levels[:, None]

    places, strides = grid.centres[:, None], grid.strides[:, None]
    inside = tf.reduce_all((places >= low[:, None]) & (places < high[:, None]), axis=-1)
    middle = ((low + high) / 2)[:, None]
    away = tf.reduce_max(tf.abs(places - middle) / strides, axis=-1)
    wanted = same & (kinds >= 0)[:, None] & ((inside & (away < _RADIUS)) | (away <= 0.5))

    cost = tf.where(wanted, areas[:, None], np.inf)
    taken = tf.gather(rows, tf.argmin(cost, axis=-1), batch_dims=1)
    crowded = tf.reduce_any(inside & (kinds == CROWD)[:, None], axis=-1)
    none = tf.where(crowded, float(CROWD), float(NO_BOX))
    kind = tf.where(tf.reduce_any(wanted, axis=-1), taken[..., 0], none)
    return tf.concat([kind[..., None], taken[..., 1:]], axis=-1)
