import keras

from eesmm_keras.layers.swin_block import SwinBlock
from eesmm_keras.ops.grouping import StageGeometry
from eesmm_keras.ops.partitions import GroupPartition, SidesPartition, WindowPartition


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SwinStage(keras.layers.Layer):
    """The blocks of one resolution; every second one in shifted windows.

    Args:
        height, width: of the map in tokens. dim: width of a token.
        depth: number of blocks.
        drop_path: stochastic depth rate of each block, a list of `depth` numbers.
        shift: whether every second block uses shifted windows.
        num_heads, window, mlp_ratio, qkv_bias, dropout, attention_dropout, kernel_initializer,
            norm_epsilon, version: see `SwinBlock`.

    Call: `(B, height, width, dim)`; or, with `groups` (one stage's entry of
    `ops.grouping.GroupPlanner.plan`), the visible tokens `(B, T, dim)`. Returns the same shape. With
    `side (1, height, width, 1)`, 0 or 1, tokens attend to those of their own side only.
    """

    def __init__(
        self, height, width, dim, depth, num_heads, window, drop_path, mlp_ratio=4.0,
        qkv_bias=True, dropout=0.0, attention_dropout=0.0, shift=True,
        kernel_initializer=None, norm_epsilon=1e-5, version=1, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.height, self.width, self.dim, self.depth = height, width, dim, depth
        self.num_heads, self.window, self.drop_path = num_heads, window, list(drop_path)
        self.mlp_ratio, self.qkv_bias, self.shift = mlp_ratio, qkv_bias, shift
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.kernel_initializer, self.norm_epsilon = kernel_initializer, norm_epsilon
        self.version = version
        # The side of a mask unit does not matter for the partitions.
        geometry = StageGeometry(
            height=height, width=width, side=1, window=window, dim=dim, depth=depth, shift=shift
        )
        self.partitions = {name: (w, shift) for name, w, shift in geometry.partitions}
        self._dense = self.window_partitions()
        self.blocks = [
            SwinBlock(
                dim=dim, num_heads=num_heads, window=self.partitions["plain"][0],
                mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, dropout=dropout,
                attention_dropout=attention_dropout, drop_path=drop_path[number],
                kernel_initializer=kernel_initializer, norm_epsilon=norm_epsilon, version=version,
                dtype=self.dtype_policy, name=f"block_{number}",
            )
            for number in range(depth)
        ]  # fmt: skip

    def window_partitions(self, hidden=None):
        """Dense partitions by name; `hidden`: optional bool `(height, width)`, see there."""
        return {
            name: WindowPartition(self.height, self.width, window, shift, hidden)
            for name, (window, shift) in self.partitions.items()
        }

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)

    def compute_output_shape(self, input_shape):
        """The same; said here, so that Keras need not trace the call to find it out."""
        return input_shape

    def call(self, x, groups=None, side=None, training=None):
        if side is not None:
            partitions = {
                name: SidesPartition(self.height, self.width, window, shift, side)
                for name, (window, shift) in self.partitions.items()
            }
        elif groups is not None:
            partitions = {
                name: GroupPartition(groups[name], window)
                for name, (window, _) in self.partitions.items()
            }
        else:
            partitions = self._dense
        return self.run(x, partitions=partitions, training=training)

    def run(self, x, partitions, training=None):
        """All blocks over the given partitions, a dict with "plain" and, if used, "shifted"."""
        for number, block in enumerate(self.blocks):
            name = "shifted" if number % 2 and "shifted" in partitions else "plain"
            x = block(x, partition=partitions[name], training=training)
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "window": self.window,
            "drop_path": list(self.drop_path),
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "shift": self.shift,
            "kernel_initializer": self.kernel_initializer,
            "norm_epsilon": self.norm_epsilon,
            "version": self.version,
        }
