from types import SimpleNamespace

import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones._convit_checks import check_sizes
from eesmm_keras.backbones.backbone import (
    Backbone,
    check_images,
    dtype_name,
    normalization_layer,
    positions_layer,
)
from eesmm_keras.backbones.constants import IMAGENET_MEAN, IMAGENET_STD
from eesmm_keras.backbones.presets import CONVIT_PRESETS
from eesmm_keras.checks import check_choice, check_flag, check_number, check_rate
from eesmm_keras.layers.masked_conv_stage import MaskedConvStage
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.layers.transformer_block import TransformerBlock
from eesmm_keras.ops.grouping import TokenPlanner
from eesmm_keras.ops.patches import gather_cells, patchify, units_to_nested_patches


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ConViTBackbone(Backbone):
    """ConViT encoder as in DMJD and ConvMAE (Gao et al., 2022): convolutional stages, then a ViT.

    It is not the ConViT of gated positional attention. `backbone(images)`: pixel values 0..255
    `(B, H, W, 3)` -> the normalised token map `(B, H / stride, W / stride, C)`. There is no class
    token. A mask unit is one token of the ViT, and every image may have its own mask.

    Under a mask, hidden tokens are zeros to the convolutions (masked convolution), so that nothing of
    them leaks into visible ones; tokens of a mask unit are hidden together at every resolution.

    Args:
        image_shape: `(height, width, channels)`; height and width are multiples of `stride`.
        dims: width of a token in each stage; the last one is the ViT.
        depths: blocks of each stage.
        num_heads: of the ViT's attention.
        patch_size: side of a patch of the first stage in pixels, a power of two.
        mlp_ratio: width of a block's MLP over its input; one number, or one a stage; None: 8 in the
            convolutional stages and 4 in the ViT, as in DMJD.
        kernel_size: side of the convolutions' kernels in tokens, odd.
        positions: of the ViT's tokens, "sincos", fixed ones as in pre-training in the public code; or
            "learned", as in fine-tuning there.
        fusion: whether the output is the normalised sum of all stages, each brought to the last one's
            resolution (multi-scale fusion), as in pre-training in the public code; without, it is that
            of the last stage alone, as in fine-tuning there.
        norm_epsilon: of the ViT's layer normalisations; the others add 1e-5.
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
        >>> from eesmm_keras import ConViTBackbone
        >>> backbone = ConViTBackbone.from_preset("convit_base")
        >>> tuple(backbone(np.zeros((1, 224, 224, 3), "uint8")).shape)
        (1, 14, 14, 768)
    """

    presets = CONVIT_PRESETS
    per_image_masks = True
    no_weight_decay = ("table",)

    def __init__(
        self, image_shape=(224, 224, 3), dims=(256, 384, 768), depths=(2, 2, 11), num_heads=12,
        patch_size=4, mlp_ratio=None, kernel_size=5, positions="sincos", fusion=True,
        norm_epsilon=1e-6, dropout=0.0, drop_path=0.0, include_normalization=True,
        mean=IMAGENET_MEAN, std=IMAGENET_STD, dtype=None, name=None, **kwargs,
    ):  # fmt: skip
        stride, ratios = check_sizes(dims, depths, num_heads, patch_size, mlp_ratio, kernel_size)
        image_shape, mean, std = check_images(image_shape, stride, include_normalization, mean, std)
        check_choice("positions", positions, ("sincos", "learned"))
        check_flag("fusion", fusion)
        check_number("norm_epsilon", norm_epsilon, 0, 1)
        check_rate("dropout", dropout)
        check_rate("drop_path", drop_path)

        # === Layers ===
        grid = (image_shape[0] // stride, image_shape[1] // stride)
        parts = _make_parts(
            grid, dims, depths, num_heads, ratios, kernel_size, positions, fusion, norm_epsilon,
            dropout, drop_path, dtype,
        )  # fmt: skip
        normalization = normalization_layer(include_normalization, mean, std)

        # === Functional model ===
        images = keras.Input(shape=image_shape, name="images")
        x = parts.patch_embedding(patchify(normalization(images), patch_size))
        x, maps = _encode(parts, x)
        x = ops.reshape(x, (-1, *grid, dims[-1]))
        super().__init__(inputs=images, outputs=x, name=name or "convit_backbone", **kwargs)

        # === Config ===
        self.image_shape, self.patch_size, self.kernel_size = image_shape, patch_size, kernel_size
        self.dims, self.depths, self.num_heads = tuple(dims), tuple(depths), num_heads
        self.mlp_ratio = ratios if isinstance(mlp_ratio, list | tuple) else mlp_ratio
        self.positions, self.fusion = positions, fusion
        self.norm_epsilon, self.dropout, self.drop_path = norm_epsilon, dropout, drop_path
        self.include_normalization, self.mean, self.std = include_normalization, mean, std
        self.dtype_name = dtype_name(dtype)

        # === The contract, and parts ===
        self.stride, self.grid = stride, grid
        self.embed_dim, self.num_features, self.num_blocks = dims[0], dims[-1], depths[-1]
        level = patch_size.bit_length() - 1
        self.pyramid_outputs = {f"P{level + i}": y for i, y in enumerate([*maps, x])}
        self.pooled_output = ops.mean(x, axis=(1, 2))
        self.normalization, self.mlp_ratios = normalization, ratios
        for part, layers in vars(parts).items():
            setattr(self, part, layers)

    def encode_visible(self, units, plan, training=False):
        """Encode visible mask units only.

        Equal, on the visible tokens, to the dense network in which hidden tokens are zeros to the
        convolutions, and nobody attends to them.

        Args:
            units: `(B, V, stride**2 * channels)` *normalised* pixels of the visible units.
            plan: dict with `units`, the numbers of the visible units, `(V,)` or `(B, V)`.

        Returns:
            `(B, V, C)`: the token of each visible unit.
        """
        x = self.patch_embedding(units_to_nested_patches(units, self.stride, self.patch_size))
        return _encode(self, x, units=plan["units"], training=training)[0]

    def embed(self, pixels):
        """Patch tokens `(B, H / patch, W / patch, dims[0])` of *normalised* pixels."""
        return self.patch_embedding(patchify(pixels, self.patch_size))

    def encode_tokens(self, x, side=None, training=False):
        """Patch tokens of a whole map, see `embed`, to encoded ones `(B, H / stride, W / stride, C)`.

        Raises:
            ValueError: `side` (MixMIM), which needs windows.
        """
        if side is not None:
            raise ValueError(
                "Tokens of two images need a SwinBackbone: ConViTBackbone has no sides."
            )
        x = _encode(self, x, training=training)[0]
        return ops.reshape(x, (-1, *self.grid, self.num_features))

    def planner(self, examples):
        """Makes the plans of `encode_visible`: nothing but the numbers of the visible units."""
        return TokenPlanner()

    def depth_of(self, path):
        """Depth of a variable for layer-wise learning-rate decay, as in the public code: 0 for all
        before the ViT's blocks, and `num_blocks + 1` for all behind them."""
        kind, _, number = path.split("/")[0].rpartition("_")
        if kind == "block":
            return int(number) + 1
        return self.num_blocks + 1 if kind == "fusion" or path.startswith("norm/") else 0

    def macs(self, visible=None):
        """See `Backbone.macs`."""
        units = self.grid[0] * self.grid[1] if visible is None else len(visible)
        before, total, last = self.patch_size**2 * self.image_shape[-1], 0, self.dims[-1]
        for stage in self.stages:
            tokens, dim = units * stage.side**2, stage.dim
            block = dim * (2 * dim + self.kernel_size**2 + 2 * int(dim * stage.mlp_ratio))
            fusion = dim * last if self.fusion else 0
            total += tokens * (before * dim + stage.depth * block + fusion)
            before = 4 * dim
        block = (
            units * last * (4 * last + 2 * int(last * self.mlp_ratios[-1])) + 2 * units**2 * last
        )
        return total + units * last * (before + last) + self.num_blocks * block


def _make_parts(
    grid, dims, depths, num_heads, ratios, kernel_size, positions, fusion, norm_epsilon, dropout,
    drop_path, dtype,
):  # fmt: skip
    """The layers in the order in which `_encode` runs through them, as attributes."""
    rates = np.split(np.linspace(0, drop_path, sum(depths)), np.cumsum(depths)[:-1])
    last, convolutional = dims[-1], range(len(dims) - 1)

    def embedding(dim, name):
        return PatchEmbedding(dim=dim, use_gelu=True, dtype=dtype, name=name)

    def dense(name):
        return keras.layers.Dense(last, dtype=dtype, name=name)

    return SimpleNamespace(
        patch_embedding=embedding(dims[0], "patch_embedding"),
        stages=[
            MaskedConvStage(
                grid=grid, side=2 ** (len(convolutional) - i), dim=dims[i], depth=depths[i],
                drop_path=rates[i].tolist(), kernel_size=kernel_size, mlp_ratio=ratios[i],
                dropout=dropout, dtype=dtype, name=f"stage_{i}",
            )
            for i in convolutional
        ],
        mergings=[embedding(dims[i + 1], f"merging_{i + 1}") for i in convolutional],
        token_projection=dense("token_projection"),
        absolute_positions=positions_layer(positions, grid, last, dtype),
        blocks=[
            TransformerBlock(
                dim=last, num_heads=num_heads, mlp_ratio=ratios[-1], dropout=dropout,
                drop_path=float(rate), norm_epsilon=norm_epsilon, dtype=dtype, name=f"block_{i}",
            )
            for i, rate in enumerate(rates[-1])
        ],
        fusions=[dense(f"fusion_{i}") for i in convolutional] if fusion else [],
        norm=keras.layers.LayerNormalization(epsilon=norm_epsilon, dtype=dtype, name="norm"),
    )  # fmt: skip


def _encode(parts, x, units=None, training=False):
    """Patch tokens, of a whole map or of visible units, through all stages.

    Returns:
        `(B, N or V, C)` encoded tokens, and what each convolutional stage gave.
    """
    outputs, (rows, cols) = [], parts.stages[0].grid
    for stage, merging in zip(parts.stages, parts.mergings, strict=True):
        outputs.append(stage(x, units=units, training=training))
        x = merging(gather_cells(outputs[-1], 2))

    def flat(y):
        return ops.reshape(y, (-1, rows * cols, y.shape[-1])) if units is None else y

    x = parts.absolute_positions(parts.token_projection(flat(x)), places=units)
    for block in parts.blocks:
        x = block(x, training=training)
    for stage, fusion, y in zip(parts.stages, parts.fusions, outputs, strict=False):
        x = x + flat(fusion(gather_cells(y, stage.side)))
    return parts.norm(x), outputs
