import keras
from keras import ops

from eesmm_keras.parallel import draw_rows, replica


@keras.saving.register_keras_serializable(package="eesmm_keras")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that drops the same entries however many replicas share the batch."""

    def call(self, inputs, training=False):
        if not training or self.rate == 0 or replica()[0] == 1:
            return super().call(inputs, training=training)
        inner = ops.shape(inputs)[1:]

        def draw(rows):
            ones = ops.ones((rows, *inner), inputs.dtype)
            return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

        return inputs * draw_rows(draw, ops.shape(inputs)[0])
