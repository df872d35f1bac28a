import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones.backbone import (
    Backbone,
    check_images,
    dtype_name,
    normalization_layer,
    positions_layer,
)
from eesmm_keras.backbones.constants import IMAGENET_MEAN, IMAGENET_STD
from eesmm_keras.backbones.presets import VIT_PRESETS
from eesmm_keras.checks import (
    MAX_SIDE,
    check_choice,
    check_flag,
    check_number,
    check_rate,
    check_transformer,
    check_whole,
)
from eesmm_keras.layers.class_token import ClassToken
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.layers.transformer_block import TransformerBlock
from eesmm_keras.ops.grouping import TokenPlanner
from eesmm_keras.ops.patches import patchify


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ViTBackbone(Backbone):
    """Vision Transformer encoder (Dosovitskiy et al., 2021) as MAE uses it, without a head.

    `backbone(images)`: pixel values 0..255 `(B, H, W, 3)` -> the normalised token map
    `(B, H / patch, W / patch, dim)`. `backbone.pooled_output` is its mean; the class token takes part
    in attention and is left out of both. Pre-normalised blocks, exact GELU. A mask unit is one patch,
    and every image may have its own mask.

    Args:
        image_shape: `(height, width, channels)`; multiples of `patch_size`.
        patch_size: side of a patch in pixels.
        dim: width of a token.
        depth: transformer blocks.
        num_heads: attention heads of each block.
        mlp_ratio: width of a block's MLP over its input.
        class_token: a learned token before the patches, as in MAE.
        positions: "sincos", fixed ones as in MAE; or "learned", as in the first ViT and DeiT. The class
            token has none: public weights that give it one have it added at import.
        norm_epsilon: of all layer normalisations.
        dropout: rate after the MLP's layers.
        drop_path: stochastic depth rate of the last block; it grows linearly from 0 at the first.
        include_normalization: see `SwinBackbone`.
        mean: see `SwinBackbone`.
        std: see `SwinBackbone`.
        dtype: see `SwinBackbone`.

    Raises:
        ValueError: an argument of the wrong kind or out of range (see `checks`), or sizes that don't
            fit together.

    Examples:
        >>> import numpy as np
        >>> from eesmm_keras import ViTBackbone
        >>> backbone = ViTBackbone.from_preset("vit_tiny")
        >>> tuple(backbone(np.zeros((1, 224, 224, 3), "uint8")).shape)
        (1, 14, 14, 192)
    """

    presets = VIT_PRESETS
    per_image_masks = True
    no_weight_decay = ("class_token", "table")

    def __init__(
        self, image_shape=(224, 224, 3), patch_size=16, dim=192, depth=12, num_heads=3,
        mlp_ratio=4.0, class_token=True, positions="sincos", norm_epsilon=1e-6, dropout=0.0,
        drop_path=0.0, include_normalization=True, mean=IMAGENET_MEAN, std=IMAGENET_STD, dtype=None,
        name=None, **kwargs,
    ):  # fmt: skip
        check_whole("patch_size", patch_size, 1, MAX_SIDE)
        image_shape, mean, std = check_images(
            image_shape, patch_size, include_normalization, mean, std
        )
        check_transformer(dim, depth, num_heads, mlp_ratio)
        check_flag("class_token", class_token)
        check_choice("positions", positions, ("sincos", "learned"))
        check_number("norm_epsilon", norm_epsilon, 0, 1)
        check_rate("dropout", dropout)
        check_rate("drop_path", drop_path)

        # === Layers ===
        grid = (image_shape[0] // patch_size, image_shape[1] // patch_size)
        normalization = normalization_layer(include_normalization, mean, std)
        patch_embedding = PatchEmbedding(
            dim=dim, use_norm=False, dtype=dtype, name="patch_embedding"
        )
        absolute = positions_layer(positions, grid, dim, dtype)
        token = ClassToken(dtype=dtype, name="class_token") if class_token else None
        rates = np.linspace(0, drop_path, depth).tolist()
        blocks = [
            TransformerBlock(
                dim=dim, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout,
                drop_path=rates[number], norm_epsilon=norm_epsilon, dtype=dtype,
                name=f"block_{number}",
            )
            for number in range(depth)
        ]  # fmt: skip
        norm = LayerNormalization(epsilon=norm_epsilon, dtype=dtype, name="norm")

        # === Functional model ===
        images = keras.Input(shape=image_shape, name="images")
        x = patch_embedding(patchify(normalization(images), patch_size))
        x = absolute(ops.reshape(x, (-1, grid[0] * grid[1], dim)))
        if token:
            x = token(x)
        for block in blocks:
            x = block(x)
        x = ops.reshape(norm(x)[:, int(class_token) :], (-1, *grid, dim))
        super().__init__(inputs=images, outputs=x, name=name or "vit_backbone", **kwargs)

        # === Config ===
        self.image_shape, self.patch_size = image_shape, patch_size
        self.dim, self.depth, self.num_heads, self.mlp_ratio = dim, depth, num_heads, mlp_ratio
        self.class_token, self.positions = class_token, positions
        self.norm_epsilon, self.dropout, self.drop_path = norm_epsilon, dropout, drop_path
        self.include_normalization, self.mean, self.std = include_normalization, mean, std
        self.dtype_name = dtype_name(dtype)

        # === The contract, and parts ===
        self.stride, self.grid = patch_size, grid
        self.embed_dim = self.num_features = dim
        self.num_blocks, self.num_prefix_tokens = depth, int(class_token)
        self.pyramid_outputs = {f"P{patch_size.bit_length() - 1}": x}
        self.pooled_output = ops.mean(x, axis=(1, 2))
        self.normalization, self.patch_embedding = normalization, patch_embedding
        self.absolute_positions, self.token = absolute, token
        self.blocks, self.norm = blocks, norm

    def encode_visible(self, units, plan, training=False):
        """Encode visible patches only.

        Args:
            units: `(B, V, patch_size**2 * channels)` *normalised* pixels of the visible units.
            plan: dict with `units`, the numbers of the visible units, `(V,)` or `(B, V)`.

        Returns:
            `(B, P + V, dim)`: P = `num_prefix_tokens` (the class token), then the visible units.
        """
        x = self.absolute_positions(self.patch_embedding(units), places=plan["units"])
        return self._run(x, training)

    def embed(self, pixels):
        """Patch tokens `(B, H / patch, W / patch, dim)` of *normalised* pixels, no positions yet."""
        return self.patch_embedding(patchify(pixels, self.patch_size))

    def encode_tokens(self, x, side=None, training=False):
        """Patch tokens of a whole map, see `embed`, to encoded ones of the same shape.

        Raises:
            ValueError: `side` (MixMIM), which needs windows.
        """
        if side is not None:
            raise ValueError("Tokens of two images need a SwinBackbone: ViTBackbone has no sides.")
        x = self.absolute_positions(
            ops.reshape(x, (-1, self.grid[0] * self.grid[1], self.embed_dim))
        )
        x = self._run(x, training)[:, self.num_prefix_tokens :]
        return ops.reshape(x, (-1, *self.grid, self.embed_dim))

    def _run(self, x, training):
        if self.token:
            x = self.token(x)
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x, training=training)

    def planner(self, examples):
        """Makes the plans of `encode_visible`: nothing but the numbers of the visible units."""
        return TokenPlanner()

    def depth_of(self, path):
        """Depth of a variable for layer-wise learning-rate decay: see `SwinBackbone.depth_of`."""
        for part in path.split("/"):
            kind, _, number = part.rpartition("_")
            if part in ("patch_embedding", "class_token", "positions"):
                return 0
            if kind == "block":
                return int(number) + 1
        return self.num_blocks + 1

    def macs(self, visible=None):
        """See `Backbone.macs`."""
        units = self.grid[0] * self.grid[1] if visible is None else len(visible)
        tokens, dim = units + self.num_prefix_tokens, self.dim
        block = tokens * dim * dim * (4 + 2 * self.mlp_ratio) + 2 * tokens**2 * dim
        pixels = self.stride**2 * self.image_shape[-1]
        return int(units * pixels * dim + self.depth * block)
