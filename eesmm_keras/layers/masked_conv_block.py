import keras

from eesmm_keras.layers.drop_path import DropPath
from eesmm_keras.layers.mlp import MLP


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MaskedConvBlock(keras.layers.Layer):
    """A transformer block with a convolution in the place of attention (Gao et al., 2022, ConvMAE).

    A linear layer, a depth-wise convolution to which hidden tokens are zeros, and a linear layer; then
    an MLP. Kernels begin as Glorot uniform, as in `TransformerBlock`; those of the convolution as in
    the public code.

    Args:
        dim: width of a token. kernel_size: side of the convolution's kernel, odd.
        mlp_ratio: MLP width over `dim`. dropout: rate after the MLP's layers.
        drop_path: stochastic depth rate of both branches.

    Call: tokens `(B, H, W, C)` or `(B, T, C)` and the way they come in (`ops.token_maps`) -> same
        shape.
    """

    def __init__(self, dim, kernel_size=5, mlp_ratio=4.0, dropout=0.0, drop_path=0.0, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.kernel_size, self.mlp_ratio = dim, kernel_size, mlp_ratio
        self.dropout, self.drop_path_rate = dropout, drop_path
        shared = {"dtype": self.dtype_policy}
        init, bound = "glorot_uniform", 1 / kernel_size
        self.norm1 = keras.layers.LayerNormalization(epsilon=1e-5, name="norm1", **shared)
        self.before = keras.layers.Dense(dim, kernel_initializer=init, name="before", **shared)
        self.depthwise = keras.layers.DepthwiseConv2D(
            kernel_size, padding="same", data_format="channels_last", name="depthwise",
            depthwise_initializer=keras.initializers.RandomUniform(-bound, bound), **shared,
        )  # fmt: skip
        self.after = keras.layers.Dense(dim, kernel_initializer=init, name="after", **shared)
        self.norm2 = keras.layers.LayerNormalization(epsilon=1e-5, name="norm2", **shared)
        self.mlp = MLP(
            hidden_dim=int(dim * mlp_ratio), dropout=dropout, kernel_initializer=init, name="mlp",
            **shared,
        )  # fmt: skip
        self.drop_path = DropPath(rate=drop_path, name="drop_path", **shared)

    def build(self, input_shape):
        for layer in (self.norm1, self.before, self.after, self.norm2, self.mlp):
            layer.build(input_shape)
        self.depthwise.build((None, None, None, self.dim))

    def call(self, x, tokens, training=None):
        y = tokens.to_map(self.before(self.norm1(x)))
        y = self.after(tokens.from_map(self.depthwise(y)))
        x = x + self.drop_path(y, training=training)
        return x + self.drop_path(self.mlp(self.norm2(x), training=training), training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "kernel_size": self.kernel_size,
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "drop_path": self.drop_path_rate,
        }
