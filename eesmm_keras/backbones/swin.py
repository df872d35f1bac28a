import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones._stage_checks import check_windows
from eesmm_keras.backbones._swin_checks import check_blocks, check_stages
from eesmm_keras.backbones.backbone import (
    Backbone,
    check_images,
    dtype_name,
    normalization_layer,
    positions_layer,
)
from eesmm_keras.backbones.constants import IMAGENET_MEAN, IMAGENET_STD
from eesmm_keras.backbones.presets import SWIN_PRESETS
from eesmm_keras.checks import check_number, check_whole
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.layers.patch_merging import PatchMerging
from eesmm_keras.layers.swin_stage import SwinStage
from eesmm_keras.ops.grouping import GroupPlanner, attention_pairs, stage_geometries
from eesmm_keras.ops.patches import patchify, units_to_nested_patches


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SwinBackbone(Backbone):
    """Swin Transformer encoder (Liu et al., 2021), without a head.

    `backbone(images)` is the dense network: pixel values 0..255 `(B, H, W, 3)`, uint8 or float, to
    the normalised feature map of the last stage `(B, H / stride, W / stride, C)`. Its other
    outputs are `backbone.pooled_output` (mean over the map, `(B, C)`) and
    `backbone.pyramid_outputs` (the map of every stage: "P2", "P3", ... at stride 4, 8, ... for
    patches of 4 pixels), symbolic tensors for `keras.Model(backbone.inputs, ...)`;
    `backbone.feature_extractor()` is a model that gives all of them.

    `backbone.encode_visible` runs the same layers on the visible mask units of masked images only,
    for masked image modelling. A mask unit is the square of pixels that becomes one token of the
    last stage; its side is `backbone.stride`.

    Numerically equal to the public Swin (`transformers.SwinModel`), shifted windows, padding of maps
    that are no multiple of the window, and relative position bias included. No absolute positions.
    With `version=2` it is Swin V2 (Liu et al., 2022), equal to `transformers.Swinv2Model`.

    Args:
        image_shape: `(height, width, channels)`; height and width are multiples of `stride`.
        embed_dim: width of the first stage; every further one is twice as wide.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: side of an attention window in tokens. Where a stage's map is not larger than
            that, it is one window without shift. One number, or one a stage.
        shift: whether every second block uses shifted windows.
        positions: None; or absolute positions on the patch tokens, "sincos", fixed ones (MixMIM), or
            "learned".
        norm_epsilon: of all layer normalisations.
        patch_size: side of a patch in pixels.
        mlp_ratio: width of a block's MLP over its input.
        qkv_bias: bias in the query, key and value projections.
        dropout: rate after attention, MLP and patch embedding.
        attention_dropout: rate on attention weights.
        drop_path: stochastic depth rate of the last block; it grows linearly from 0 at the first.
        kernel_initializer: of the dense kernels in blocks and mergings: None, a truncated normal
            of deviation 0.02 as in the public Swin and SimMIM; or Keras' name of another:
            "glorot_uniform", as in the public code of GreenMIM and MixMIM. 0.02 is little for narrow
            encoders.
        version: 1, or 2 for Swin V2: cosine attention, a bias made of log-spaced offsets, normalisation
            behind attention, MLP and merging.
        include_normalization: normalise pixels with `mean` and `std` inside the graph. If False the
            input must be `(pixels / 255 - mean) / std` already.
        mean: per channel, of pixels scaled to 0..1.
        std: the same.
        dtype: dtype policy of the layers; None takes the global one, at loading too.

    Raises:
        ValueError: an argument of the wrong kind or out of range (see `checks`), or sizes that don't
            fit together.

    Examples:
        >>> import numpy as np
        >>> from eesmm_keras import SwinBackbone
        >>> backbone = SwinBackbone.from_preset("swin_tiny")
        >>> tuple(backbone(np.zeros((1, 224, 224, 3), "uint8")).shape)
        (1, 7, 7, 768)
    """

    presets = SWIN_PRESETS
    takes_sides = True
    no_weight_decay = ("relative_position_table", "table", "logit_scale", "offset_in", "offset_out")

    def __init__(
        self, image_shape=(224, 224, 3), embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24),
        window_size=7, shift=True, positions=None, norm_epsilon=1e-5, patch_size=4, mlp_ratio=4.0,
        qkv_bias=True, dropout=0.0, attention_dropout=0.0, drop_path=0.0, kernel_initializer=None,
        version=1, include_normalization=True, mean=IMAGENET_MEAN, std=IMAGENET_STD, dtype=None,
        name=None, **kwargs,
    ):  # fmt: skip
        stride = check_stages(embed_dim, depths, num_heads, patch_size, mlp_ratio)
        windows = check_windows(window_size, len(depths))
        image_shape, mean, std = check_images(image_shape, stride, include_normalization, mean, std)
        check_blocks(shift, qkv_bias, positions, dropout, attention_dropout, drop_path)
        check_number("norm_epsilon", norm_epsilon, 0, 1)
        check_whole("version", version, 1, 2)

        # === Layers ===
        geometry = stage_geometries(image_shape, patch_size, embed_dim, depths, windows, shift)
        normalization = normalization_layer(include_normalization, mean, std)
        patch_embedding = PatchEmbedding(
            dim=embed_dim, norm_epsilon=norm_epsilon, dtype=dtype, name="patch_embedding"
        )
        embedding_drop = Dropout(dropout, dtype=dtype, name="embedding_dropout")
        absolute = None
        if positions:
            places = (geometry[0].height, geometry[0].width)
            absolute = positions_layer(positions, places, embed_dim, dtype)
        shared = {"norm_epsilon": norm_epsilon, "version": version, "dtype": dtype}
        shared["kernel_initializer"] = kernel_initializer
        stages = _make_stages(
            geometry, num_heads, drop_path, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, dropout=dropout,
            attention_dropout=attention_dropout, **shared,
        )  # fmt: skip
        mergings = [PatchMerging(name=f"merging_{i}", **shared) for i in range(len(depths) - 1)]
        norm = LayerNormalization(epsilon=norm_epsilon, dtype=dtype, name="norm")

        # === Functional model ===
        images = keras.Input(shape=image_shape, name="images")
        x = patch_embedding(patchify(normalization(images), patch_size))
        x = embedding_drop(_add_positions(absolute, x))
        maps = _maps(x, stages, mergings, norm)
        super().__init__(inputs=images, outputs=maps[-1], name=name or "swin_backbone", **kwargs)

        # === Config ===
        self.image_shape, self.patch_size, self.embed_dim = image_shape, patch_size, embed_dim
        self.depths, self.num_heads = tuple(depths), tuple(num_heads)
        self.window_size = window_size if isinstance(window_size, int) else windows
        self.shift, self.positions, self.mlp_ratio = shift, positions, mlp_ratio
        self.qkv_bias, self.dropout, self.attention_dropout = qkv_bias, dropout, attention_dropout
        self.drop_path, self.kernel_initializer = drop_path, kernel_initializer
        self.norm_epsilon, self.version = norm_epsilon, version
        self.include_normalization, self.mean, self.std = include_normalization, mean, std
        self.dtype_name = dtype_name(dtype)

        # === The contract, and parts ===
        self.geometry = geometry
        self.stride, self.grid = stride, (geometry[-1].height, geometry[-1].width)
        self.num_features, self.num_blocks = geometry[-1].dim, sum(depths)
        level = patch_size.bit_length() - 1
        self.pyramid_outputs = {f"P{level + number}": x for number, x in enumerate(maps)}
        self.pooled_output = ops.mean(maps[-1], axis=(1, 2))
        self.normalization, self.patch_embedding = normalization, patch_embedding
        self.embedding_drop, self.absolute_positions = embedding_drop, absolute
        self.stages, self.mergings, self.norm = stages, mergings, norm

    @property
    def stage_depths(self):
        return self.depths

    def encode_visible(self, units, plan, training=False):
        """Encode visible mask units only: the fast path of masked image modelling.

        Equal, on the visible tokens, to the dense network in which nobody attends to a hidden token.

        Args:
            units: `(B, V, stride**2 * channels)` *normalised* pixels of the visible units, the
                pixels of a unit in row-major order (`ops.patches.images_to_units`).
            plan: groups of the mask, from `ops.grouping.GroupPlanner.plan` or a `MaskBank`.

        Returns:
            `(B, V, C)`: the last stage's token of each visible unit, after the final norm.
        """
        x = units_to_nested_patches(units, self.stride, self.patch_size)
        x = self.patch_embedding(x, training=training)
        if self.positions:
            x = self.absolute_positions(x, places=plan["tokens"])
        x = self.embedding_drop(x, training=training)
        return self._run(x, plan=plan, training=training)

    def embed(self, pixels):
        """Patch tokens `(B, H / patch, W / patch, dim)` of *normalised* pixels, no positions yet."""
        return self.patch_embedding(patchify(pixels, self.patch_size))

    def encode_tokens(self, x, side=None, training=False):
        """Patch tokens of a whole map, see `embed`, to encoded ones.

        Args:
            x: `(B, H / patch, W / patch, dim)`.
            side: optional float tensor `(1, rows, cols, 1)` over the mask units, 0 or 1: tokens attend
                to those of their own side only (MixMIM).

        Returns:
            `(B, H / stride, W / stride, C)`.
        """
        x = self.embedding_drop(_add_positions(self.absolute_positions, x), training=training)
        return self._run(x, side=side, training=training)

    def _run(self, x, plan=None, side=None, training=False):
        for number, stage in enumerate(self.stages):
            groups = None if plan is None else plan[f"stage_{number}"]
            sides = None
            if side is not None:
                repeats = self.geometry[number].side
                sides = ops.repeat(ops.repeat(side, repeats, axis=1), repeats, axis=2)
            x = stage(x, groups=groups, side=sides, training=training)
            if number < len(self.mergings):
                x = self.mergings[number](x, training=training)
        return self.norm(x, training=training)

    def planner(self, examples):
        """`GroupPlanner` that makes the plans of `encode_visible`.

        Args:
            examples: sequence of int arrays of visible units, all of one length.
        """
        return GroupPlanner(
            stages=self.geometry, grid=self.grid, examples=examples, tokens=bool(self.positions)
        )

    def depth_of(self, path):
        """Depth of a variable for layer-wise learning-rate decay (Bao et al., 2021).

        Args:
            path: the variable's path inside this model.

        Returns:
            0 for the patch embedding, i for what belongs to block i = 1 ... `num_blocks` (a patch
            merging belongs to the block before it), `num_blocks + 1` for the final norm.
        """
        depths = self.depths
        for part, following in zip(path.split("/"), [*path.split("/")[1:], ""], strict=True):
            kind, _, number = part.rpartition("_")
            if part in ("patch_embedding", "positions"):
                return 0
            if kind == "stage":
                return sum(depths[: int(number)]) + int(following.rpartition("_")[2]) + 1
            if kind == "merging":
                return sum(depths[: int(number) + 1])
        return self.num_blocks + 1

    def macs(self, visible=None):
        """See `Backbone.macs`."""
        units = np.arange(self.grid[0] * self.grid[1]) if visible is None else np.asarray(visible)
        pixels = self.patch_size**2 * self.image_shape[-1]
        total = len(units) * self.geometry[0].side ** 2 * pixels * self.embed_dim
        for number, stage in enumerate(self.geometry):
            tokens, dim = len(units) * stage.side**2, stage.dim
            mlp = 2 * int(dim * self.mlp_ratio)
            total += stage.depth * tokens * dim * (4 * dim + mlp)
            total += 2 * dim * attention_pairs(units, self.grid[1], stage)
            if number < len(self.geometry) - 1:
                total += tokens // 4 * (4 * dim) * (2 * dim)
        return total


def _make_stages(geometry, num_heads, drop_path, **options):
    """The `SwinStage` of each `StageGeometry`; drop rates grow linearly over all blocks."""
    rates = np.linspace(0, drop_path, sum(stage.depth for stage in geometry)).tolist()
    stages = []
    for number, stage in enumerate(geometry):
        first = sum(before.depth for before in geometry[:number])
        stages.append(
            SwinStage(
                height=stage.height, width=stage.width, dim=stage.dim, depth=stage.depth,
                window=stage.window, shift=stage.shift, num_heads=num_heads[number],
                drop_path=rates[first : first + stage.depth], name=f"stage_{number}", **options,
            )
        )  # fmt: skip
    return stages


def _maps(x, stages, mergings, norm):
    """The map of every stage, before it is merged; the last one normalised."""
    maps = []
    for stage, merging in zip(stages, mergings, strict=False):
        maps.append(stage(x))
        x = merging(maps[-1])
    return [*maps, norm(stages[-1](x))]


def _add_positions(positions, x):
    """Absolute positions, if any, on a map `(B, H, W, C)`."""
    if positions is None:
        return x
    return ops.reshape(
        positions(ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))), (-1, *x.shape[1:])
    )
