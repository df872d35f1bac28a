import keras
from keras import ops

from eesmm_keras.device_waits import SeedGenerator
from eesmm_keras.parallel import draw_rows, replica


@keras.saving.register_keras_serializable(package="eesmm_keras")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that drops the same entries however many replicas share the batch."""

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **kwargs)
        if rate > 0:
            # Keras 3.15 makes it and offers no way to give another one.
            self.seed_generator.__class__ = SeedGenerator

    def call(self, inputs, training=False):
        if not training or self.rate == 0 or replica()[0] == 1:
            return super().call(inputs, training=training)
        inner = ops.shape(inputs)[1:]

        def draw(rows):
            ones = ops.ones((rows, *inner), inputs.dtype)
            return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

        return inputs * draw_rows(draw, ops.shape(inputs)[0])

    def of_weights(self, training):
        """This layer as a function of attention's weights, or None where it drops nothing."""
        if not training or not self.rate:
            return None
        return lambda weights: self(weights, training=True)
