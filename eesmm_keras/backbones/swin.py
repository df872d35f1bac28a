import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones._base import Backbone, normalization_layer, positions_layer
from eesmm_keras.backbones.presets import SWIN_PRESETS
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.layers.patch_merging import PatchMerging
from eesmm_keras.layers.swin_stage import SwinStage
from eesmm_keras.ops.grouping import GroupPlanner, StageGeometry
from eesmm_keras.ops.patches import patchify, units_to_nested_patches

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
        include_normalization: normalise pixels with `mean` and `std` inside the graph. If False the
            input must be `(pixels / 255 - mean) / std` already.
        mean, std: per channel, for pixels scaled to 0..1.
        dtype: dtype policy of the layers; None takes the global one, at loading too.

    Raises:
        ValueError: sizes that don't fit together.

    Example:
        >>> backbone = SwinBackbone.from_preset("swin_tiny")
        >>> backbone(np.zeros((1, 224, 224, 3), "uint8")).shape
        (1, 7, 7, 768)
    """

    presets = SWIN_PRESETS

    def __init__(
        self,
        image_shape=(224, 224, 3),
        embed_dim=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        shift=True,
        positions=None,
        norm_epsilon=1e-5,
        patch_size=4,
        mlp_ratio=4.0,
        qkv_bias=True,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        kernel_initializer=None,
        include_normalization=True,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        dtype=None,
        name=None,
        **kwargs,
    ):
        config = {
            "image_shape": tuple(image_shape),
            "embed_dim": embed_dim,
            "depths": tuple(depths),
            "num_heads": tuple(num_heads),
            "window_size": window_size if isinstance(window_size, int) else tuple(window_size),
            "shift": shift,
            "positions": positions,
            "norm_epsilon": norm_epsilon,
            "patch_size": patch_size,
            "mlp_ratio": mlp_ratio,
            "qkv_bias": qkv_bias,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "drop_path": drop_path,
            "kernel_initializer": kernel_initializer,
            "include_normalization": include_normalization,
            "mean": tuple(mean),
            "std": tuple(std),
            "dtype": None if dtype is None else keras.dtype_policies.get(dtype).name,
        }
        stride = patch_size * 2 ** (len(depths) - 1)
        _check_sizes(config, stride)
        height, width, _ = config["image_shape"]

        # === Layers ===
        normalization = normalization_layer(include_normalization, mean, std)
        patch_embedding = PatchEmbedding(embed_dim, dtype=dtype, name="patch_embedding")
        embedding_drop = Dropout(dropout, dtype=dtype, name="embedding_dropout")
        absolute = None
        if positions:
            places = (height // patch_size, width // patch_size)
            absolute = positions_layer(positions, places, embed_dim, dtype)
        windows = (window_size,) * len(depths) if isinstance(window_size, int) else window_size
        rates = np.linspace(0, drop_path, sum(depths)).tolist()
        stages, mergings, geometry = [], [], []
        for number, depth in enumerate(depths):
            cell = patch_size * 2**number
            rows, cols, dim = height // cell, width // cell, embed_dim * 2**number
            first = sum(depths[:number])
            stages.append(
                SwinStage(
                    rows, cols, dim, depth, num_heads[number], windows[number],
                    rates[first : first + depth], mlp_ratio, qkv_bias, dropout, attention_dropout,
                    shift, kernel_initializer, dtype=dtype, name=f"stage_{number}",
                )
            )  # fmt: skip
            geometry.append(
                StageGeometry(rows, cols, stride // cell, windows[number], dim, depth, shift)
            )
            if number < len(depths) - 1:
                mergings.append(
                    PatchMerging(kernel_initializer, dtype=dtype, name=f"merging_{number}")
                )
        norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name="norm")
        blocks = [block for stage in stages for block in stage.blocks]
        of_blocks = [layer for block in blocks for layer in (block.norm1, block.norm2)]
        for layer in (patch_embedding.norm, norm, *of_blocks, *(m.norm for m in mergings)):
            layer.epsilon = norm_epsilon

        # === Functional model ===
        images = keras.Input(shape=config["image_shape"], name="images")
        x = patch_embedding(patchify(normalization(images), patch_size))
        x = embedding_drop(_add_positions(absolute, x))
        pyramid = {}
        first_level = patch_size.bit_length() - 1
        for number, stage in enumerate(stages):
            x = stage(x)
            if number < len(depths) - 1:
                pyramid[f"P{first_level + number}"] = x
                x = mergings[number](x)
        x = norm(x)
        pyramid[f"P{first_level + len(depths) - 1}"] = x
        super().__init__(inputs=images, outputs=x, name=name or "swin_backbone", **kwargs)

        # === Config ===
        self._config = config
        self.image_shape = config["image_shape"]
        self.patch_size, self.embed_dim = patch_size, embed_dim
        self.stride = stride
        self.grid = (height // stride, width // stride)
        self.num_features = embed_dim * 2 ** (len(depths) - 1)
        self.include_normalization = include_normalization
        self.mean, self.std = config["mean"], config["std"]
        self.normalization = normalization
        self.patch_embedding, self.embedding_drop = patch_embedding, embedding_drop
        self.positions = absolute
        self.stages, self.mergings, self.norm = stages, mergings, norm
        self.geometry = tuple(geometry)
        self.pyramid_outputs = pyramid
        self.pooled_output = ops.mean(x, axis=(1, 2))

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
        x = self.patch_embedding(x)
        if self.positions:
            x = self.positions(x, places=plan["tokens"])
        return self._run(self.embedding_drop(x, training=training), plan, None, training)

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
        x = self.embedding_drop(_add_positions(self.positions, x), training=training)
        return self._run(x, None, side, training)

    def _run(self, x, plan, side, training):
        for number, stage in enumerate(self.stages):
            groups = None if plan is None else plan[f"stage_{number}"]
            sides = None
            if side is not None:
                repeats = self.geometry[number].side
                sides = ops.repeat(ops.repeat(side, repeats, axis=1), repeats, axis=2)
            x = stage(x, groups=groups, side=sides, training=training)
            if number < len(self.mergings):
                x = self.mergings[number](x)
        return self.norm(x)

    def planner(self, examples):
        """`GroupPlanner` that makes the plans of `encode_visible`.

        Args:
            examples: sequence of int arrays of visible units, all of one length.
        """
        return GroupPlanner(self.geometry, self.grid, examples, tokens=bool(self.positions))

    @property
    def num_blocks(self):
        """Number of attention blocks of all stages."""
        return sum(self._config["depths"])

    def depth_of(self, path):
        """Depth of a variable for layer-wise learning-rate decay (Bao et al., 2021).

        Args:
            path: the variable's path inside this model.

        Returns:
            0 for the patch embedding, i for what belongs to block i = 1 ... `num_blocks` (a patch
            merging belongs to the block before it), `num_blocks + 1` for the final norm.
        """
        depths = self._config["depths"]
        for part, following in zip(path.split("/"), [*path.split("/")[1:], ""], strict=True):
            kind, _, number = part.rpartition("_")
            if part in ("patch_embedding", "positions"):
                return 0
            if kind == "stage":
                return sum(depths[: int(number)]) + int(following.rpartition("_")[2]) + 1
            if kind == "merging":
                return sum(depths[: int(number) + 1])
        return self.num_blocks + 1


def _add_positions(positions, x):
    """Absolute positions, if any, on a map `(B, H, W, C)`."""
    if positions is None:
        return x
    return ops.reshape(
        positions(ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))), (-1, *x.shape[1:])
    )


def _check_sizes(config, stride):
    height, width, _ = config["image_shape"]
    if height % stride or width % stride or not height or not width:
        below = max(stride, height // stride * stride)
        raise ValueError(
            f"The image size must be a multiple of {stride} (patch size "
            f"{config['patch_size']} x {stride // config['patch_size']}), got {height}x{width}. "
            f"Nearest sizes: {below} and {below + stride}."
        )
    if len(config["num_heads"]) != len(config["depths"]):
        raise ValueError(
            f"num_heads needs one number a stage: {len(config['depths'])} stages in "
            f"depths={config['depths']}, got num_heads={config['num_heads']}."
        )
    if config["patch_size"] & (config["patch_size"] - 1):
        raise ValueError(f"patch_size must be a power of two, got {config['patch_size']}.")
    windows = config["window_size"]
    if isinstance(windows, int):
        windows = (windows,) * len(config["depths"])
    if min(windows) < 1 or len(windows) != len(config["depths"]):
        raise ValueError(
            "window_size must be a number of at least 1, or one such number a stage; got "
            f"{config['window_size']} for {len(config['depths'])} stages."
        )
    if config["positions"] not in (None, "sincos", "learned"):
        raise ValueError(
            f"positions must be None, 'sincos' or 'learned', got {config['positions']!r}."
        )
