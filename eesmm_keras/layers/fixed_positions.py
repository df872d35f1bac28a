import keras
from keras import ops

from eesmm_keras.device_waits import constant
from eesmm_keras.ops.positions import sincos_positions


@keras.saving.register_keras_serializable(package="eesmm_keras")
class FixedPositions(keras.layers.Layer):
    """Adds a constant vector to each token by its place: sine-cosine positions (MAE).

    Args:
        grid: `(rows, cols)` of the places. dim: width of a token, a multiple of 4.

    Call: `(B, T, dim)` and `places`, int `(T,)` or `(B, T)`, or None for all places in order.
    """

    def __init__(self, grid, dim, **kwargs):
        super().__init__(**kwargs)
        self.grid, self.dim = tuple(grid), dim
        self.table = sincos_positions(self.grid, dim)

    def call(self, x, places=None):
        table = constant(self.table)
        if places is not None:
            table = ops.take(table, places, axis=0)
        return x + ops.cast(table, x.dtype)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "dim": self.dim}
