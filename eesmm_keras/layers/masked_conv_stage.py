import keras

from eesmm_keras.layers.masked_conv_block import MaskedConvBlock
from eesmm_keras.ops.token_maps import UnitTokens, WholeMap


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MaskedConvStage(keras.layers.Layer):
    """The convolutional blocks of one resolution (Gao et al., 2022, ConvMAE).

    Args:
        grid: `(rows, cols)` of mask units. side: tokens along one side of a mask unit.
        dim: width of a token. depth: number of blocks.
        drop_path: stochastic depth rate of each block, a list of `depth` numbers.
        kernel_size, mlp_ratio, dropout: see `MaskedConvBlock`.

    Call: a map `(B, rows * side, cols * side, dim)`; or, with `units`, numbers `(V,)` or `(B, V)`
        of the visible mask units, their tokens `(B, T, dim)`. Returns the same shape.
    """

    def __init__(
        self, grid, side, dim, depth, drop_path, kernel_size=5, mlp_ratio=4.0, dropout=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.grid, self.side, self.dim, self.depth = tuple(grid), side, dim, depth
        self.drop_path, self.kernel_size = list(drop_path), kernel_size
        self.mlp_ratio, self.dropout = mlp_ratio, dropout
        self.blocks = [
            MaskedConvBlock(
                dim=dim, kernel_size=kernel_size, mlp_ratio=mlp_ratio, dropout=dropout,
                drop_path=drop_path[number], dtype=self.dtype_policy, name=f"block_{number}",
            )
            for number in range(depth)
        ]  # fmt: skip

    def whole_map(self, hidden=None):
        """`WholeMap` of this stage; `hidden`: optional bool over its tokens, see there."""
        rows, cols = self.grid
        return WholeMap(rows * self.side, cols * self.side, hidden=hidden)

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)

    def compute_output_shape(self, input_shape):
        """The same; said here, so that Keras need not trace the call to find it out."""
        return input_shape

    def call(self, x, units=None, training=None):
        whole = units is None
        tokens = self.whole_map() if whole else UnitTokens(units, self.grid, self.side)
        return self.run(x, tokens=tokens, training=training)

    def run(self, x, tokens, training=None):
        """All blocks, for tokens that come as `tokens` says (`ops.token_maps`)."""
        for block in self.blocks:
            x = block(x, tokens=tokens, training=training)
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "side": self.side,
            "dim": self.dim,
            "depth": self.depth,
            "drop_path": list(self.drop_path),
            "kernel_size": self.kernel_size,
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
        }
