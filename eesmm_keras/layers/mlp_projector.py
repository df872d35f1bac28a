import itertools

import keras


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MLPProjector(keras.layers.Layer):
    """DMJD's visible branch: a projector of three dense layers and a linear predictor.

    Each dense layer is followed by layer normalisation (the last without scale and offset), the first
    two by GELU.

    Args:
        dim: width of the three layers. output_dim: of the predictor.

    Call: `(B, T, C)` -> `(B, T, output_dim)`.
    """

    def __init__(self, dim, output_dim, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.output_dim = dim, output_dim
        shared = {"dtype": self.dtype_policy}
        self.dense = [
            keras.layers.Dense(width, name=f"dense_{number}", **shared)
            for number, width in enumerate((dim, dim, dim, output_dim))
        ]
        self.norms = [
            keras.layers.LayerNormalization(
                epsilon=1e-6, center=number < 2, scale=number < 2, name=f"norm_{number}", **shared
            )
            for number in range(3)
        ]

    def build(self, input_shape):
        for layer in self.dense:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], layer.units)
        for norm in self.norms:
            norm.build((*input_shape[:-1], self.dim))

    def call(self, x):
        for number, norm in enumerate(self.norms):
            x = norm(self.dense[number](x))
            if number < 2:
                x = keras.activations.gelu(x)
        return self.dense[3](x)

    def macs(self, num_features):
        """Multiply-accumulates for one token of `num_features` numbers."""
        widths = [num_features, *(layer.units for layer in self.dense)]
        return sum(a * b for a, b in itertools.pairwise(widths))

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "output_dim": self.output_dim}
