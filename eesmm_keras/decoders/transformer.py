import keras
from keras import ops

from eesmm_keras.checks import check_transformer
from eesmm_keras.device_waits import constant
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.masking.mask import units_in_order
from eesmm_keras.layers.transformer_block import TransformerBlock
from eesmm_keras.ops.positions import sincos_positions


@keras.saving.register_keras_serializable(package="eesmm_keras")
class TransformerDecoder(keras.layers.Layer):
    """Light decoder of masked image modelling (MAE; GreenMIM section 3.3; EESMM section 4.1.1).

    Projects the visible tokens, stands a learned mask token at every hidden place, adds fixed 2-D
    sine-cosine positions, runs transformer blocks, the last one's output on the scored units alone, and
    predicts pixels with a linear head.

    Tokens stay in the order "visible first"; the positions are permuted instead of the tokens.

    Args:
        grid: `(rows, cols)` of mask units, N in all.
        output_dim: numbers predicted a unit.
        dim, depth, num_heads, mlp_ratio: of the transformer blocks.
        num_prefix: tokens that come before the visible ones (a class token); they get no position.

    Call: `latent (B, num_prefix + V, C)`, and the `visible` and `scored` units of a
        `layers.masking.mask.Mask`: the head runs on the scored ones only. Returns float32
        `(B, S, output_dim)`.
    """

    def __init__(
        self,
        grid,
        output_dim,
        dim=512,
        depth=1,
        num_heads=16,
        mlp_ratio=4.0,
        num_prefix=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_transformer(dim, depth, num_heads, mlp_ratio, prefix="decoder_")
        self.grid, self.output_dim, self.num_prefix = tuple(grid), output_dim, num_prefix
        self.dim, self.depth, self.num_heads, self.mlp_ratio = dim, depth, num_heads, mlp_ratio
        shared = {"dtype": self.dtype_policy}
        init = keras.initializers.GlorotUniform
        self.positions = sincos_positions(self.grid, dim)
        self.embed = keras.layers.Dense(dim, kernel_initializer=init(), name="embed", **shared)
        self.blocks = [
            TransformerBlock(
                dim=dim, num_heads=num_heads, mlp_ratio=mlp_ratio, name=f"block_{number}", **shared
            )
            for number in range(depth)
        ]
        self.norm = LayerNormalization(epsilon=1e-6, name="norm", **shared)
        self.head = keras.layers.Dense(output_dim, kernel_initializer=init(), name="head", **shared)

    @classmethod
    def of(cls, backbone, dim, depth, num_heads, output_dim=None):
        """The decoder for an encoder's tokens, built; `output_dim` None: a unit's pixels."""
        decoder = cls(
            grid=backbone.grid, output_dim=output_dim or backbone.unit_pixels, dim=dim, depth=depth,
            num_heads=num_heads, num_prefix=backbone.num_prefix_tokens, name="decoder",
        )  # fmt: skip
        decoder.build((None, None, backbone.num_features))
        return decoder

    def build(self, input_shape):
        self.mask_token = self.add_weight(
            shape=(1, 1, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="mask_token",
        )
        tokens = (None, None, self.dim)
        self.embed.build(input_shape)
        for block in self.blocks:
            block.build(tokens)
        self.norm.build(tokens)
        self.head.build(tokens)

    def call(self, latent, visible, scored, training=None):
        x = self.embed(latent)
        prefix, count = self.num_prefix, self.grid[0] * self.grid[1]
        order = units_in_order(visible, scored, count)
        missing = count - (latent.shape[1] - prefix)
        token = ops.cast(self.mask_token, x.dtype)
        token = ops.broadcast_to(token, (ops.shape(x)[0], missing, self.dim))
        positions = ops.take(constant(self.positions), order, axis=0)
        positions = ops.cast(positions, x.dtype)
        if prefix:
            rank = len(positions.shape)
            positions = ops.pad(positions, ((0, 0),) * (rank - 2) + ((prefix, 0), (0, 0)))
        x = ops.concatenate([x, token], axis=1) + positions
        for block in self.blocks[:-1]:
            x = block(x, training=training)
        # What the last block makes of the other units is not asked for.
        x = self.blocks[-1](x, first=prefix + count - scored.shape[-1], training=training)
        x = self.head(self.norm(x, training=training))
        return ops.cast(x, "float32")

    def macs(self, num_features, visible, scored):
        """Multiply-accumulates for one sample: `visible` tokens in, `scored` units predicted.

        All blocks count whole, the last one too, so that budgets mean what they meant in every release.
        """
        tokens = self.grid[0] * self.grid[1]
        block = tokens * self.dim**2 * (4 + 2 * self.mlp_ratio) + 2 * tokens**2 * self.dim
        total = visible * num_features * self.dim + self.depth * block
        return int(total) + scored * self.dim * self.output_dim

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "output_dim": self.output_dim,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "num_prefix": self.num_prefix,
        }
