"""A candidate of docs/evidence.md: a decoder that only looks from hidden units to visible ones."""

import keras
from keras import ops

from eesmm_keras.checks import check_number
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops.attention import attention
from eesmm_keras.ops.patches import take_units
from eesmm_keras.ops.positions import sincos_positions


@keras.saving.register_keras_serializable(package="eesmm_candidates")
class CrossDecoder(keras.layers.Layer):
    """Hidden units ask the visible ones, and not each other (CrossMAE, Fu et al., 2024).

    Call: as `TransformerDecoder`; `scored` may be any of the hidden units.
    """

    def __init__(self, grid, output_dim, dim, depth, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.grid, self.output_dim, self.dim = tuple(grid), output_dim, dim
        self.depth, self.num_heads = depth, num_heads
        self.positions = sincos_positions(self.grid, dim)

        def dense(size, name):
            return keras.layers.Dense(size, name=name)

        self.embed, self.head = dense(dim, "embed"), dense(output_dim, "head")
        self.norm = LayerNormalization(epsilon=1e-6, name="norm")
        self.blocks = [
            {
                "norm": LayerNormalization(epsilon=1e-6, name=f"norm_{n}"),
                "query": dense(dim, f"query_{n}"),
                "key_value": dense(2 * dim, f"key_value_{n}"),
                "projection": dense(dim, f"projection_{n}"),
                "mlp_norm": LayerNormalization(epsilon=1e-6, name=f"mlp_norm_{n}"),
                "mlp_in": dense(4 * dim, f"mlp_in_{n}"),
                "mlp_out": dense(dim, f"mlp_out_{n}"),
            }
            for n in range(depth)
        ]

    def build(self, input_shape):
        self.mask_token = self.add_weight(
            shape=(1, 1, self.dim), name="mask_token",
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )  # fmt: skip
        self.embed.build(input_shape)
        tokens = (None, None, self.dim)
        for layer in (self.norm, self.head):
            layer.build(tokens)
        for block in self.blocks:
            for name, layer in block.items():
                layer.build((None, None, 4 * self.dim) if name == "mlp_out" else tokens)

    def _heads(self, x):
        x = ops.reshape(x, (-1, x.shape[1], self.num_heads, self.dim // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def call(self, latent, visible, scored, training=None):
        positions = ops.convert_to_tensor(self.positions, self.compute_dtype)
        seen = self.embed(latent) + ops.take(positions, visible, axis=0)
        x = ops.cast(self.mask_token, seen.dtype) + ops.take(positions, scored, axis=0)[None]
        x = ops.broadcast_to(x, (ops.shape(seen)[0], scored.shape[0], self.dim))
        for block in self.blocks:
            query = self._heads(block["query"](block["norm"](x)))
            key, value = ops.split(block["key_value"](seen), 2, axis=-1)
            scale = (self.dim // self.num_heads) ** -0.5
            y = attention(query * scale, self._heads(key), self._heads(value))
            y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, scored.shape[0], self.dim))
            x = x + block["projection"](y)
            x = x + block["mlp_out"](ops.gelu(block["mlp_in"](block["mlp_norm"](x))))
        return ops.cast(self.head(self.norm(x)), "float32")

    def macs(self, num_features, visible, scored):
        """Multiply-accumulates for one sample: `visible` tokens in, `scored` units predicted."""
        dim = self.dim
        block = 2 * visible * dim**2 + scored * 10 * dim**2 + 2 * visible * scored * dim
        return visible * num_features * dim + self.depth * block + scored * dim * self.output_dim


@keras.saving.register_keras_serializable(package="eesmm_candidates")
class CrossGreenMIM(HiddenPixels):
    """GreenMIM with a `CrossDecoder` that predicts a share of the hidden units in each step.

    Args:
        backbone, mask_ratio, norm_pixels, decoder_dim, decoder_depth, decoder_num_heads, loss,
            mask_bank_size, seed: see `GreenMIM`.
        scored_share: share of the hidden units that is predicted while training, above 0.
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.75, norm_pixels=True, scored_share=0.5, decoder_dim=512,
        decoder_depth=1, decoder_num_heads=16, loss="mse", mask_bank_size=256, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels, loss, seed, **kwargs)
        self.mask_ratio, self.mask_bank_size = mask_ratio, mask_bank_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.masking = MaskBank.of(backbone, mask_ratio, mask_bank_size, self.seed)
        self.scored_share = check_number("scored_share", scored_share, 0.01, 1)
        self.decoder = CrossDecoder(
            backbone.grid, backbone.unit_pixels, decoder_dim, decoder_depth, decoder_num_heads,
            name="decoder",
        )  # fmt: skip
        self.decoder.build((None, None, backbone.num_features))
        self.picks = self.seed_generator(1)
        self.built = True

    def _count(self, scored):
        return max(1, round(self.scored_share * scored))

    def view(self, images, mask, training):
        if training and self.scored_share < 1:
            some = keras.random.shuffle(mask.scored, seed=self.picks)
            mask = mask._replace(scored=some[: self._count(mask.scored.shape[0])])
        units = self.backbone.units_of(images)
        visible = take_units(units, mask.visible)
        latent = self.backbone.encode_visible(visible, plan=mask.plan, training=training)
        prediction = self.decoder(latent, mask.visible, mask.scored)
        return {"prediction": prediction, "units": units, "mask": mask}

    def head_macs(self, visible, scored):
        return super().head_macs(visible, self._count(scored))
