import itertools

import keras


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MLPProjector(keras.layers.Layer):
    """Dense layers and a linear predictor: DMJD's visible branch (three layers), a contrast (one).

    Each dense layer is followed by layer normalisation and GELU; the third by layer normalisation
    alone, without scale and offset.

    Args:
        dim: width of the layers. output_dim: of the predictor. num_layers: before it, 1 to 3.

    Call: `(B, T, C)` -> `(B, T, output_dim)`.
    """

    def __init__(self, dim, output_dim, num_layers=3, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.output_dim, self.num_layers = dim, output_dim, num_layers
        shared = {"dtype": self.dtype_policy}
        self.dense = [
            keras.layers.Dense(width, name=f"dense_{number}", **shared)
            for number, width in enumerate((dim,) * num_layers + (output_dim,))
        ]
        self.norms = [
            keras.layers.LayerNormalization(
                epsilon=1e-6, center=number < 2, scale=number < 2, name=f"norm_{number}", **shared
            )
            for number in range(num_layers)
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
        return self.dense[-1](x)

    def macs(self, num_features):
        """Multiply-accumulates for one token of `num_features` numbers."""
        widths = [num_features, *(layer.units for layer in self.dense)]
        return sum(a * b for a, b in itertools.pairwise(widths))

    def get_config(self):
        sizes = {"dim": self.dim, "output_dim": self.output_dim, "num_layers": self.num_layers}
        return {**super().get_config(), **sizes}
