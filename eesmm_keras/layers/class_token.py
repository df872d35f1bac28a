import keras
from keras import ops


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ClassToken(keras.layers.Layer):
    """A learned token before the others: `(B, T, C)` -> `(B, 1 + T, C)`."""

    def build(self, input_shape):
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="class_token",
        )

    def call(self, x):
        token = ops.cast(self.token, x.dtype)
        token = ops.broadcast_to(token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)
