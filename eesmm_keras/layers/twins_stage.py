import keras

from eesmm_keras.layers.conditional_positions import ConditionalPositions
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.twins_block import TwinsBlock
from eesmm_keras.ops.token_maps import VisibleTokens, WholeMap


@keras.saving.register_keras_serializable(package="eesmm_keras")
class TwinsStage(keras.layers.Layer):
    """The blocks of one resolution; conditional positions are added after the first one.

    Args:
        height, width: of the map in tokens. dim: width of a token.
        depth: number of blocks.
        drop_path: stochastic depth rate of each block, a list of `depth` numbers.
        window: side of the windows in which the first and every other block attends; the others
            attend globally. None: all do (Twins-PCPVT).
        dropout: rate at the begin of the stage, and in blocks.
        num_heads, reduction, mlp_ratio, attention_dropout, kernel_initializer, norm_epsilon: see
            `TwinsBlock`.

    Call: `(B, height, width, dim)`; or, with `plan` (one stage's entry of
        `ops.token_maps.TokenMapPlanner.plan`), the visible tokens `(B, T, dim)`. Returns the same
        shape.
    """

    def __init__(
        self, height, width, dim, depth, num_heads, drop_path, window=None, reduction=1,
        mlp_ratio=4.0, dropout=0.0, attention_dropout=0.0, kernel_initializer=None,
        norm_epsilon=1e-6, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.height, self.width, self.dim, self.depth = height, width, dim, depth
        self.num_heads, self.drop_path = num_heads, list(drop_path)
        self.window, self.reduction, self.mlp_ratio = window, reduction, mlp_ratio
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.kernel_initializer, self.norm_epsilon = kernel_initializer, norm_epsilon
        self._dense = self.whole_map()
        self.drop = Dropout(dropout, dtype=self.dtype_policy, name="drop")
        self.blocks = [
            TwinsBlock(
                dim=dim, num_heads=num_heads, window=None if number % 2 else window,
                reduction=reduction, mlp_ratio=mlp_ratio, dropout=dropout,
                attention_dropout=attention_dropout, drop_path=drop_path[number],
                kernel_initializer=kernel_initializer, norm_epsilon=norm_epsilon,
                dtype=self.dtype_policy, name=f"block_{number}",
            )
            for number in range(depth)
        ]  # fmt: skip
        self.positions = ConditionalPositions(dtype=self.dtype_policy, name="positions")

    def whole_map(self, hidden=None):
        """`WholeMap` of this stage; `hidden`: optional bool `(height, width)`, see there."""
        return WholeMap(self.height, self.width, self.window, self.reduction, hidden)

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)
        self.positions.build((None, self.height, self.width, self.dim))

    def compute_output_shape(self, input_shape):
        """The same; said here, so that Keras need not trace the call to find it out."""
        return input_shape

    def call(self, x, plan=None, training=None):
        tokens = self._dense
        if plan is not None:
            tokens = VisibleTokens(plan, self.height, self.width, self.window)
        return self.run(x, tokens=tokens, training=training)

    def run(self, x, tokens, training=None):
        """All blocks, for tokens that come as `tokens` says (`ops.token_maps`)."""
        x = self.drop(x, training=training)
        for number, block in enumerate(self.blocks):
            x = block(x, tokens=tokens, training=training)
            if number == 0:
                x = tokens.from_map(self.positions(tokens.to_map(x)))
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "drop_path": list(self.drop_path),
            "window": self.window,
            "reduction": self.reduction,
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "kernel_initializer": self.kernel_initializer,
            "norm_epsilon": self.norm_epsilon,
        }
