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
        num_heads, window, mlp_ratio, qkv_bias, dropout, attention_dropout, kernel_initializer: see
            `SwinBlock`.

    Call: `(B, height, width, dim)`; or, with `groups` (one stage's entry of
    `ops.grouping.GroupPlanner.plan`), the visible tokens `(B, T, dim)`. Returns the same shape. With
    `side (1, height, width, 1)`, 0 or 1, tokens attend to those of their own side only.
    """

    def __init__(
        self, height, width, dim, depth, num_heads, window, drop_path, mlp_ratio=4.0,
        qkv_bias=True, dropout=0.0, attention_dropout=0.0, shift=True,
        kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self._config = {
            "height": height,
            "width": width,
            "dim": dim,
            "depth": depth,
            "num_heads": num_heads,
            "window": window,
            "drop_path": list(drop_path),
            "mlp_ratio": mlp_ratio,
            "qkv_bias": qkv_bias,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "shift": shift,
            "kernel_initializer": kernel_initializer,
        }
        self.height, self.width, self.window = height, width, window
        # The side of a mask unit does not matter for the partitions.
        geometry = StageGeometry(height, width, 1, window, dim, depth, shift)
        self.partitions = {name: (w, shift) for name, w, shift in geometry.partitions}
        self._dense = self.window_partitions()
        (effective, _) = self.partitions["plain"]
        self.blocks = [
            SwinBlock(
                dim, num_heads, effective, mlp_ratio, qkv_bias, dropout, attention_dropout,
                drop_path[number], kernel_initializer, dtype=self.dtype_policy, name=f"block_{number}",
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

    def call(self, x, groups=None, side=None, training=None):
        if side is not None:
            partitions = {
                name: SidesPartition(self.height, self.width, window, shift, side)
                for name, (window, shift) in self.partitions.items()
            }
            return self.run(x, partitions, training)
        if groups is None:
            return self.run(x, self._dense, training)
        partitions = {
            name: GroupPartition(groups[name], window)
            for name, (window, _) in self.partitions.items()
        }
        return self.run(x, partitions, training)

    def run(self, x, partitions, training=None):
        """All blocks over the given partitions, a dict with "plain" and, if used, "shifted"."""
        for number, block in enumerate(self.blocks):
            name = "shifted" if number % 2 and "shifted" in partitions else "plain"
            x = block(x, partition=partitions[name], training=training)
        return x

    def get_config(self):
        config = {**super().get_config(), **self._config}
        return {**config, "drop_path": list(config["drop_path"])}
