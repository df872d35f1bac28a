import keras
from keras import ops


class MapUnit(keras.layers.Layer):
    """Convolution (a dense layer where it sees one position), layer normalisation, ReLU.

    Args:
        dim: width of the map it gives. kernel_size: side of the convolution.

    Call: `(B, h, w, C)` -> `(B, h, w, dim)`.
    """

    def __init__(self, dim, kernel_size=1, **kwargs):
        super().__init__(**kwargs)
        shared = {
            "use_bias": False, "kernel_initializer": "he_normal", "dtype": self.dtype_policy,
            "name": "conv",
        }  # fmt: skip
        # tf2onnx gets a convolution of a map of one position wrong, with what follows it here.
        self.conv = (
            keras.layers.Dense(dim, **shared)
            if kernel_size == 1
            else keras.layers.Conv2D(dim, kernel_size=kernel_size, padding="same", **shared)
        )
        self.dim, self.norm = dim, channel_norm(name="norm", dtype=self.dtype_policy)

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build((*shape[:3], self.dim))
        self.built = True

    def call(self, x):
        return ops.relu(self.norm(self.conv(x)))


def channel_norm(**kwargs):
    """Layer normalisation of every position by its own channels."""
    return keras.layers.LayerNormalization(epsilon=1e-6, **kwargs)
