"""What all layouts of Swin share: the encoder's arguments out of shapes and configuration."""

import math

from eesmm_keras.converters.converter import Converter
from eesmm_keras.errors import UserError
from eesmm_keras.ops.positions import sincos_positions

SWIN = "eesmm_keras.backbones.swin:SwinBackbone"

# Our path of a block's part -> theirs, for the spelling that began in the official code.
OFFICIAL_NAMES = {
    "patch_embedding/projection": "patch_embed.proj",
    "patch_embedding/norm": "patch_embed.norm",
    "stage_{a}/block_{b}/norm1": "layers.{a}.blocks.{b}.norm1",
    "stage_{a}/block_{b}/attention/qkv": "layers.{a}.blocks.{b}.attn.qkv",
    "stage_{a}/block_{b}/attention/projection": "layers.{a}.blocks.{b}.attn.proj",
    "stage_{a}/block_{b}/attention/relative_position_table": (
        "layers.{a}.blocks.{b}.attn.relative_position_bias_table"
    ),
    "stage_{a}/block_{b}/norm2": "layers.{a}.blocks.{b}.norm2",
    "stage_{a}/block_{b}/mlp/expand": "layers.{a}.blocks.{b}.mlp.fc1",
    "stage_{a}/block_{b}/mlp/contract": "layers.{a}.blocks.{b}.mlp.fc2",
    "merging_{a}/norm": "layers.{a}.downsample.norm",
    "merging_{a}/reduction": "layers.{a}.downsample.reduction",
    "norm": "norm",
}


class SwinLayout(Converter):
    """A converter whose encoder is a `SwinBackbone`.

    Attributes:
        stages, blocks: regular expressions that begin names of a stage (one group: its number), and of
            a block (with `{}` for the stage).
        positions: their name of absolute positions. mask: of the first shifted block's mask.
        shift: whether every second block shifts its windows.
        norm_epsilon: of the layer normalisations, where no configuration says it.
    """

    encoder = SWIN
    stages = r"layers\.(\d+)\.blocks\."
    blocks = r"layers\.{}\.blocks\.(\d+)\."
    positions = "absolute_pos_embed"
    mask = "layers.0.blocks.1.attn_mask"
    shift = True
    norm_epsilon = 1e-5
    ignored = r"relative_position_index|attn_mask|relative_coords_table"
    refused = {
        r"logit_scale|cpb_mlp": "the attention of Swin V2",
        r"downsample\.(0|proj|conv)": "merging by convolution",
    }

    def arguments(self, weights):
        out, channels, patch = self.patches(weights)
        config = weights.source.config
        if len(patch) != 2 or patch[0] != patch[1]:
            raise UserError(f"{weights.source.where} has patches of {patch}; squares are expected.")
        if self.theirs("patch_embedding/norm/gamma")[0] not in weights:
            raise UserError(
                f"{weights.source.where} has no normalisation after the patch embedding, which "
                "SwinBackbone always has: it cannot be taken over."
            )
        check_activation(weights)
        depths = tuple(
            weights.count(self.blocks.format(stage)) for stage in range(weights.count(self.stages))
        )
        tables = [self._table(weights, stage) for stage in range(len(depths))]
        sides = [side for side, _ in tables]
        stride = patch[0] * 2 ** (len(depths) - 1)
        image = image_side(weights) or self._masked_side(weights, patch[0])
        if not image:
            image = sides[-1] * stride
            weights.assumed["image_shape"] = (
                f"The image size is not in the source: {image} is assumed, from its last windows."
            )
        height, width = (image, image) if isinstance(image, int) else image
        hidden = weights.shape(self.theirs("stage_0/block_0/mlp/expand/bias")[0])[0]
        return {
            "image_shape": (height, width, channels),
            "patch_size": patch[0],
            "embed_dim": out,
            "depths": depths,
            "num_heads": tuple(heads for _, heads in tables),
            "window_size": self._window(sides, height // patch[0], width // patch[0], config),
            "shift": self.shift,
            "positions": self._positions(weights, (height // patch[0], width // patch[0]), out),
            "mlp_ratio": hidden / out,
            "qkv_bias": self.theirs("stage_0/block_0/attention/qkv/bias")[0] in weights,
            "norm_epsilon": float(config.get("layer_norm_eps", self.norm_epsilon)),
            **normalization(weights, channels),
        }

    def _masked_side(self, weights, patch):
        """Image size by the mask of shifted windows that official code stores, or None."""
        if self.mask not in weights or len(weights.shape(self.mask)) != 3:
            return None
        windows, size, _ = weights.shape(self.mask)
        side = math.isqrt(windows * size)
        return side * patch if side * side == windows * size else None

    def _table(self, weights, stage):
        """Side of the window that a stage's table is for, and its heads."""
        (name,) = self.theirs(f"stage_{stage}/block_0/attention/relative_position_table")
        rows, heads = weights.shape(name)
        side = (round(rows**0.5) + 1) // 2
        if (2 * side - 1) ** 2 != rows:
            raise UserError(
                f"{weights.source.where}: {name} has {rows} rows, which is no square window."
            )
        return side, heads

    def _window(self, sides, rows, cols, config):
        """One number where it explains the tables of all stages, or one per stage."""
        stated = config.get("window_size")
        window = stated if isinstance(stated, int) else max(sides)
        smallest = [min(rows, cols) // 2**stage for stage in range(len(sides))]
        if all(
            side in (window, min(window, most)) for side, most in zip(sides, smallest, strict=True)
        ):
            return window
        return tuple(sides)

    def _positions(self, weights, grid, dim):
        if self.positions not in weights:
            return None
        table = weights.array(self.positions).reshape(-1, dim)
        return positions_kind(table, grid, dim)

    def theirs(self, path):
        return (self.positions,) if path == "positions/table" else super().theirs(path)

    def array(self, path, weights):
        array = super().array(path, weights)
        if array is not None and path == "positions/table":
            return array.reshape(-1, array.shape[-1])
        return array

    def check_shift(self, encoder):
        """Refuse an encoder of ours without shifted windows, which theirs always have."""
        if not encoder.shift:
            raise UserError(
                f"{self.title} shifts the windows of every second block, and this encoder none "
                "(shift=False): it cannot be written."
            )

    def check_plain(self, encoder):
        """Refuse positions and other normalisation, where no argument of theirs asks for them."""
        if encoder.positions or encoder.norm_epsilon != self.norm_epsilon:
            raise UserError(
                f"{self.title} has no absolute positions and adds {self.norm_epsilon:g} in its "
                f"normalisations; this encoder has positions={encoder.positions} and norm_epsilon="
                f"{encoder.norm_epsilon:g}: it cannot be written."
            )

    def one_window(self, encoder):
        """The one size of window that explains those of all stages.

        Raises:
            UserError: there is none.
        """
        windows = [stage.window for stage in encoder.geometry]
        smallest = [min(stage.height, stage.width) for stage in encoder.geometry]
        window = max(windows)
        if any(mine != min(window, most) for mine, most in zip(windows, smallest, strict=True)):
            maps = [f"{stage.height}x{stage.width}" for stage in encoder.geometry]
            raise UserError(
                f"{self.title} has windows of one size that fit into the maps, and this encoder has "
                f"{windows} by stage on maps of {', '.join(maps)}: it cannot be written."
            )
        return window


def one_or_two(sides):
    """`(32, 32)` -> 32, `(32, 48)` -> [32, 48]: sizes as configurations have them."""
    height, width = sides
    return height if height == width else [height, width]


def stage_maps(arguments):
    """`[(rows, cols, window)]`, a tuple per stage of a Swin with these arguments."""
    height, width, _ = arguments["image_shape"]
    windows, stages = arguments["window_size"], len(arguments["depths"])
    windows = [windows] * stages if isinstance(windows, int) else windows
    cells = [arguments["patch_size"] * 2**stage for stage in range(stages)]
    return [
        (height // cell, width // cell, window) for cell, window in zip(cells, windows, strict=True)
    ]


def is_padded(rows, cols, window):
    """Whether attention pads a map: it is larger than the window, and no multiple of it."""
    return min(rows, cols) > window and any(side % window for side in (rows, cols))


def positions_kind(table, grid, dim):
    """ "sincos" for positions that are ours anyway, else "learned"."""
    if table.shape[0] == grid[0] * grid[1] and dim % 4 == 0:
        fixed = sincos_positions(grid, dim)
        if abs(table - fixed).max() < 1e-4:
            return "sincos"
    return "learned"


def image_side(weights):
    """Image size that a configuration states: one number, or `(height, width)`, or None."""
    config = weights.source.config
    size = config.get("image_size")
    if isinstance(config.get("image_shape"), list):
        size = config["image_shape"][:2]
    if size is None and isinstance(config.get("pretrained_cfg"), dict):
        shape = config["pretrained_cfg"].get("input_size")
        size = shape[1:] if isinstance(shape, list) and len(shape) == 3 else None
        extra = config.get("model_args")
        if isinstance(extra, dict) and "img_size" in extra:
            size = extra["img_size"]
    if isinstance(size, list) and len(size) == 2:
        return tuple(int(side) for side in size)
    return int(size) if isinstance(size, int) else None


def normalization(weights, channels):
    """`mean` and `std` that the source records, as arguments; empty where it records none."""
    source = weights.source
    if "image_converter" in source.preprocessor:
        return _of_keras_hub(source.preprocessor["image_converter"], channels)
    found = (source.preprocessor.get("image_mean"), source.preprocessor.get("image_std"))
    timm = source.config.get("pretrained_cfg", source.config)
    if found == (None, None) and isinstance(timm, dict):
        found = (timm.get("mean"), timm.get("std"))
    fits = all(
        isinstance(values, list) and len(values) == channels
        and all(isinstance(value, int | float) for value in values)
        for values in found
    )  # fmt: skip
    if fits and all(value > 0 for value in found[1]):
        return {"mean": tuple(found[0]), "std": tuple(found[1])}
    if channels == 3:
        weights.notes.append(
            "The source records no mean and deviation of pixels: ImageNet's are assumed."
        )
        return {}
    weights.notes.append(
        f"The source records no mean and deviation of its {channels} channels: 0.5 and 0.25 are "
        "assumed."
    )
    return {"mean": (0.5,) * channels, "std": (0.25,) * channels}


def _of_keras_hub(converter, channels):
    """The same of keras-hub's image converter, which computes `pixels * scale + offset`."""
    config = converter.get("config", {}) if isinstance(converter, dict) else {}
    scale, offset = config.get("scale"), config.get("offset")
    scale = [scale] * channels if isinstance(scale, int | float) else scale
    offset = [offset or 0.0] * channels if not isinstance(offset, list) else offset
    if not isinstance(scale, list) or len(scale) != channels or len(offset) != channels:
        return {}
    std = [_short(1 / (255 * value)) for value in scale]
    mean = [_short(-o * s) for o, s in zip(offset, std, strict=True)]
    return {"mean": tuple(mean), "std": tuple(std)}


def _short(number):
    """Without what rounding left behind: 0.48500000000000004 -> 0.485."""
    return float(f"{number:.12g}")


def check_activation(weights):
    """Refuse a network whose configuration names another activation than the exact GELU."""
    kind = weights.source.config.get("hidden_act", "gelu")
    if kind != "gelu":
        raise UserError(
            f"{weights.source.where} uses the activation {kind!r}; our encoders use the exact GELU."
        )
