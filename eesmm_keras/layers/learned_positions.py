import keras
from keras import ops


@keras.saving.register_keras_serializable(package="eesmm_keras")
class LearnedPositions(keras.layers.Layer):
    """Adds a learned vector to each token by its place (Dosovitskiy et al., 2021).

    Args:
        places: number N of places.

    Call: `(B, T, C)` and `places`, int `(T,)` or `(B, T)`, or None for all places in order.
    """

    def __init__(self, places, **kwargs):
        super().__init__(**kwargs)
        self.places = places

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(self.places, input_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="table",
        )

    def call(self, x, places=None):
        table = ops.convert_to_tensor(self.table)
        if places is not None:
            table = ops.take(table, places, axis=0)
        return x + ops.cast(table, x.dtype)

    def get_config(self):
        return {**super().get_config(), "places": self.places}
