from dataclasses import replace

import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones._twins_checks import check_attention, check_stages
from eesmm_keras.backbones.backbone import Backbone, check_images, dtype_name, normalization_layer
from eesmm_keras.backbones.constants import IMAGENET_MEAN, IMAGENET_STD
from eesmm_keras.backbones.presets import TWINS_PRESETS
from eesmm_keras.checks import check_number, check_rate
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.layers.twins_stage import TwinsStage
from eesmm_keras.ops.grouping import StageGeometry, attention_pairs
from eesmm_keras.ops.patches import gather_cells, patchify, units_to_nested_patches
from eesmm_keras.ops.token_maps import TokenMapPlanner


@keras.saving.register_keras_serializable(package="eesmm_keras")
class TwinsBackbone(Backbone):
    """Twins encoder (Chu et al., 2021), Twins-SVT and Twins-PCPVT, without a head.

    `backbone(images)` is the dense network: pixel values 0..255 `(B, H, W, 3)`, uint8 or float, to
    the normalised feature map of the last stage `(B, H / stride, W / stride, C)`; `pooled_output`,
    `pyramid_outputs` and `feature_extractor()` are as in `SwinBackbone`. Numerically equal to timm's
    Twins, padding of maps that are no multiple of the window included.

    In Twins-SVT the first and every other block of a stage attends in windows (locally-grouped
    attention), the others attend globally to sub-sampled keys: a cell of tokens is one key. In
    Twins-PCPVT all attend globally. Positions come from a depth-wise convolution after the first
    block of a stage, so that images may have any size.

    `backbone.encode_visible` runs the same layers on the visible mask units only. It equals the dense
    network in which hidden tokens contribute nothing: nobody attends to them or to cells of them, and
    they are zeros to the convolution, as in the public code of GreenMIM. That code leaves out the
    sum of the convolution with its input, which Twins has, and so has this; and where a map is no
    multiple of the window, it does not attend to the padding, which Twins and this do.

    Args:
        image_shape: `(height, width, channels)`; height and width are multiples of `stride`.
        dims: width of a token in each stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: side of an attention window in tokens, one number, or one a stage; a smaller map
            is padded to it. None: all blocks attend globally.
        reductions: side of the cell of tokens that becomes one key of global attention, per stage; a
            power of two, at most the side of a mask unit in tokens.
        patch_size: side of a patch in pixels, a power of two.
        mlp_ratio: width of a block's MLP over its input; one number, or one a stage.
        norm_epsilon: of the layer normalisations in and after the blocks. Those of patch embeddings
            and of cells add 1e-5.
        dropout: rate after attention and MLP, and at the begin of each stage.
        attention_dropout: rate on attention weights.
        drop_path: stochastic depth rate of the last block; it grows linearly from 0 at the first.
        kernel_initializer: of the dense kernels in blocks, see `SwinBackbone`.
        include_normalization: see `SwinBackbone`.
        mean: see `SwinBackbone`.
        std: see `SwinBackbone`.
        dtype: see `SwinBackbone`.

    Raises:
        ValueError: an argument of the wrong kind or out of range (see `checks`), or sizes that don't
            fit together.

    Examples:
        >>> import numpy as np
        >>> from eesmm_keras import TwinsBackbone
        >>> backbone = TwinsBackbone.from_preset("twins_svt_small")
        >>> tuple(backbone(np.zeros((1, 224, 224, 3), "uint8")).shape)
        (1, 7, 7, 512)
    """

    presets = TWINS_PRESETS
    no_weight_decay = ("filters",)

    def __init__(
        self, image_shape=(224, 224, 3), dims=(64, 128, 256, 512), depths=(2, 2, 10, 4),
        num_heads=(2, 4, 8, 16), window_size=7, reductions=(8, 4, 2, 1), patch_size=4, mlp_ratio=4.0,
        norm_epsilon=1e-6, dropout=0.0, attention_dropout=0.0, drop_path=0.0,
        kernel_initializer=None, include_normalization=True, mean=IMAGENET_MEAN, std=IMAGENET_STD,
        dtype=None, name=None, **kwargs,
    ):  # fmt: skip
        stride, ratios = check_stages(dims, depths, num_heads, patch_size, mlp_ratio)
        windows = check_attention(window_size, reductions, len(depths))
        image_shape, mean, std = check_images(image_shape, stride, include_normalization, mean, std)
        check_number("norm_epsilon", norm_epsilon, 0, 1)
        for rate, value in (("dropout", dropout), ("attention_dropout", attention_dropout),
                            ("drop_path", drop_path)):  # fmt: skip
            check_rate(rate, value)

        # === Layers ===
        geometry = _geometry(image_shape, patch_size, dims, depths, windows)
        normalization = normalization_layer(include_normalization, mean, std)
        embedding = PatchEmbedding(dim=dims[0], dtype=dtype, name="patch_embedding")
        rates = np.split(np.linspace(0, drop_path, sum(depths)), np.cumsum(depths)[:-1])
        stages = [
            TwinsStage(
                height=stage.height, width=stage.width, dim=stage.dim, depth=stage.depth,
                window=stage.window, num_heads=num_heads[i], reduction=reductions[i],
                mlp_ratio=ratios[i], drop_path=rates[i].tolist(), dropout=dropout,
                attention_dropout=attention_dropout, kernel_initializer=kernel_initializer,
                norm_epsilon=norm_epsilon, dtype=dtype, name=f"stage_{i}",
            )
            for i, stage in enumerate(geometry)
        ]  # fmt: skip
        mergings = [
            PatchEmbedding(dim=dim, dtype=dtype, name=f"merging_{i}")
            for i, dim in enumerate(dims[1:])
        ]
        norm = keras.layers.LayerNormalization(epsilon=norm_epsilon, dtype=dtype, name="norm")

        # === Functional model ===
        images = keras.Input(shape=image_shape, name="images")
        x, maps = embedding(patchify(normalization(images), patch_size)), []
        for stage, merging in zip(stages, [*mergings, None], strict=True):
            maps.append(stage(x))
            x = merging(gather_cells(maps[-1], 2)) if merging else norm(maps.pop())
        maps.append(x)
        super().__init__(inputs=images, outputs=x, name=name or "twins_backbone", **kwargs)

        # === Config ===
        self.image_shape, self.patch_size = image_shape, patch_size
        self.dims, self.depths, self.num_heads = tuple(dims), tuple(depths), tuple(num_heads)
        self.window_size = windows if isinstance(window_size, list | tuple) else window_size
        self.reductions, self.norm_epsilon = tuple(reductions), norm_epsilon
        self.mlp_ratio = ratios if isinstance(mlp_ratio, list | tuple) else mlp_ratio
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.drop_path, self.kernel_initializer = drop_path, kernel_initializer
        self.include_normalization, self.mean, self.std = include_normalization, mean, std
        self.dtype_name = dtype_name(dtype)

        # === The contract, and parts ===
        self.geometry = geometry
        self.stride, self.grid = stride, (geometry[-1].height, geometry[-1].width)
        self.embed_dim, self.num_features, self.num_blocks = dims[0], dims[-1], sum(depths)
        level = patch_size.bit_length() - 1
        self.pyramid_outputs = {f"P{level + number}": x for number, x in enumerate(maps)}
        self.pooled_output = ops.mean(x, axis=(1, 2))
        self.normalization, self.patch_embedding = normalization, embedding
        self.stages, self.mergings, self.norm = stages, mergings, norm

    @property
    def stage_depths(self):
        return self.depths

    def encode_visible(self, units, plan, training=False):
        """Encode visible mask units only: the fast path of masked image modelling.

        Args:
            units: `(B, V, stride**2 * channels)` *normalised* pixels of the visible units, the
                pixels of a unit in row-major order (`ops.patches.images_to_units`).
            plan: of the mask, from `ops.token_maps.TokenMapPlanner.plan` or a `MaskBank`.

        Returns:
            `(B, V, C)`: the last stage's token of each visible unit, after the final norm.
        """
        x = units_to_nested_patches(units, self.stride, self.patch_size)
        return self._run(self.patch_embedding(x), plan=plan, training=training)

    def embed(self, pixels):
        """Patch tokens `(B, H / patch, W / patch, dims[0])` of *normalised* pixels."""
        return self.patch_embedding(patchify(pixels, self.patch_size))

    def encode_tokens(self, x, side=None, training=False):
        """Patch tokens of a whole map, see `embed`, to encoded ones `(B, H / stride, W / stride, C)`.

        Raises:
            ValueError: `side` (MixMIM), which needs a `SwinBackbone`.
        """
        if side is not None:
            raise ValueError(
                "Tokens of two images need a SwinBackbone: TwinsBackbone has no sides."
            )
        return self._run(x, training=training)

    def _run(self, x, plan=None, training=False):
        for number, stage in enumerate(self.stages):
            entry = None if plan is None else plan[f"stage_{number}"]
            x = stage(x, plan=entry, training=training)
            if number < len(self.mergings):
                x = self.mergings[number](gather_cells(x, 2))
        return self.norm(x)

    def planner(self, examples):
        """`TokenMapPlanner` that makes the plans of `encode_visible`.

        Args:
            examples: sequence of int arrays of visible units, all of one length.
        """
        return TokenMapPlanner(
            stages=self.geometry, grid=self.grid, examples=examples,
            windows=self.window_size is not None,
        )  # fmt: skip

    def depth_of(self, path):
        """See `SwinBackbone.depth_of`; a stage's conditional positions belong to its first block."""
        depths, parts = self.depths, path.split("/")
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            kind, _, number = part.rpartition("_")
            if part == "patch_embedding":
                return 0
            if kind == "stage":
                block = 0 if following == "positions" else int(following.rpartition("_")[2])
                return sum(depths[: int(number)]) + block + 1
            if kind == "merging":
                return sum(depths[: int(number) + 1])
        return self.num_blocks + 1

    def macs(self, visible=None):
        """See `Backbone.macs`."""
        units = np.arange(self.grid[0] * self.grid[1]) if visible is None else np.asarray(visible)
        before, total = self.patch_size**2 * self.image_shape[-1], 0
        for stage, layer in zip(self.geometry, self.stages, strict=True):
            tokens, dim = len(units) * stage.side**2, stage.dim
            windowed = sum(block.window is not None for block in layer.blocks)
            keys = tokens // layer.reduction**2
            total += tokens * dim * (before + 2 * stage.depth * int(dim * layer.mlp_ratio))
            if windowed:
                total += windowed * 4 * tokens * dim**2
                total += (
                    2 * dim * attention_pairs(units, self.grid[1], replace(stage, depth=windowed))
                )
            summary = tokens * dim**2 if layer.reduction > 1 else 0
            globally = 2 * tokens * dim**2 + 2 * keys * dim**2 + summary + 2 * tokens * keys * dim
            total += (stage.depth - windowed) * globally + 9 * tokens * dim
            before = 4 * dim
        return total


def _geometry(image_shape, patch_size, dims, depths, windows):
    """`StageGeometry` of each stage, all of whose windows are plain; `depth` is that of the stage."""
    return tuple(
        StageGeometry(
            height=image_shape[0] // (patch_size << number),
            width=image_shape[1] // (patch_size << number),
            side=1 << (len(depths) - 1 - number),
            window=windows[number],
            dim=dims[number],
            depth=depth,
            fits=False,
        )
        for number, depth in enumerate(depths)
    )
