import keras
from keras import ops


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ConditionalPositions(keras.layers.Layer):
    """Positions that follow from a token's neighbours: a depth-wise 3x3 convolution, added to the map.

    Chu et al., 2021 (Conditional positional encodings): the zeros around the map tell where its
    border is. Under a mask, hidden tokens are zeros too.

    Call: a map `(B, H, W, C)` -> the same shape.
    """

    def build(self, input_shape):
        # No bias by nature, but as in the public code not decayed either: so it is no "kernel".
        self.filters = self.add_weight(
            shape=(3, 3, input_shape[-1], 1),
            initializer=keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5),
            name="filters",
        )
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        filters, bias = ops.cast(self.filters, x.dtype), ops.cast(self.bias, x.dtype)
        y = ops.depthwise_conv(x, filters, padding="same", data_format="channels_last")
        return x + y + bias
