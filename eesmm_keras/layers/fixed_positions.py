import keras
from keras import ops


@keras.saving.register_keras_serializable(package="eesmm_keras")
class FixedPositions(keras.layers.Layer):
    """Adds a constant vector to each token by its place.

    Args:
        table: NumPy `(N, C)`, see `ops.positions.sincos_positions`.

    Call: `(B, T, C)` and `places`, int `(T,)` or `(B, T)`, or None for all places in order.
    """

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, x, places=None):
        table = ops.convert_to_tensor(self.table)
        if places is not None:
            table = ops.take(table, places, axis=0)
        return x + ops.cast(table, x.dtype)
