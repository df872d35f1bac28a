"""What all layouts of ViT share: the encoder's arguments out of shapes and configuration."""

import math

import numpy as np

from eesmm_keras.converters.converter import Converter
from eesmm_keras.converters.swin_layout import (
    check_activation,
    image_side,
    normalization,
    positions_kind,
)
from eesmm_keras.errors import UserError

# Our decoder -> that of MAE's public code, which GreenMIM, MixMIM and DMJD took over.
MAE_DECODER = {
    "decoder/embed": "decoder_embed",
    "decoder/mask_token": "mask_token",
    "decoder/block_{a}/norm1": "decoder_blocks.{a}.norm1",
    "decoder/block_{a}/qkv": "decoder_blocks.{a}.attn.qkv",
    "decoder/block_{a}/projection": "decoder_blocks.{a}.attn.proj",
    "decoder/block_{a}/norm2": "decoder_blocks.{a}.norm2",
    "decoder/block_{a}/mlp/expand": "decoder_blocks.{a}.mlp.fc1",
    "decoder/block_{a}/mlp/contract": "decoder_blocks.{a}.mlp.fc2",
    "decoder/norm": "decoder_norm",
    "decoder/head": "decoder_pred",
}


class MAEDecoder:
    """Mixed into a converter whose file may hold MAE's decoder.

    Attributes:
        decoder_positions: their name of the decoder's positions, which must be the fixed ones.
    """

    outside = MAE_DECODER
    decoder_positions = "decoder_pos_embed"

    def problem(self, part, weights):
        if part != "decoder" or self.decoder_positions not in weights:
            return None
        table = weights.array(self.decoder_positions)
        table = table.reshape(-1, table.shape[-1])
        side = math.isqrt(len(table))
        places = table[len(table) - side * side :]
        if positions_kind(places, (side, side), table.shape[-1]) == "sincos":
            return None
        return "its decoder's positions are not the fixed sine-cosine ones"


class ViTLayout(Converter):
    """A converter whose encoder is a `ViTBackbone`.

    Attributes:
        blocks: regular expression that begins names of a block (one group: its number).
        class_token, positions: their names.
        scales: their names of LayerScale by our path, which it is folded into: `{a}` as in `names`.
        norm_epsilon: of the layer normalisations, where no configuration says it.
    """

    encoder = "eesmm_keras.backbones.vit:ViTBackbone"
    blocks = r"blocks\.(\d+)\."
    class_token = "cls_token"
    positions = "pos_embed"
    scales = {}
    norm_epsilon = 1e-6

    def arguments(self, weights):
        dim, channels, patch = self.patches(weights)
        if len(patch) != 2 or patch[0] != patch[1]:
            raise UserError(f"{weights.source.where} has patches of {patch}; squares are expected.")
        check_activation(weights)
        where, config = weights.source.where, weights.source.config
        tokens = int(self.class_token in weights)
        first = self._first_place(weights)
        table = weights.array(self.positions).reshape(-1, dim)[first:]
        grid = self._grid(weights, len(table), patch[0])
        if self.theirs("block_0/qkv/bias")[0] not in weights:
            raise UserError(
                f"{where} has no bias in query, key and value, which ViTBackbone always has: it "
                "cannot be taken over."
            )
        stated = config.get("model_args") if isinstance(config.get("model_args"), dict) else {}
        heads = stated.get("num_heads") or config.get(
            "num_attention_heads", config.get("num_heads")
        )
        if not isinstance(heads, int):
            heads = _usual_heads(dim)
            weights.assumed["num_heads"] = (
                f"The number of heads is not in the source: {heads} are assumed, {dim // heads} wide."
            )
        hidden = weights.shape(self.theirs("block_0/mlp/expand/bias")[0])[0]
        return {
            "image_shape": (grid[0] * patch[0], grid[1] * patch[0], channels),
            "patch_size": patch[0],
            "dim": dim,
            "depth": weights.count(self.blocks),
            "num_heads": heads,
            "mlp_ratio": hidden / dim,
            "class_token": bool(tokens),
            "positions": positions_kind(table, grid, dim),
            "norm_epsilon": float(
                config.get("layer_norm_eps", config.get("layer_norm_epsilon", self.norm_epsilon))
            ),
            **normalization(weights, channels),
        }

    def _first_place(self, weights):
        """Rows of the positions before those of patches: DeiT III gives the class token none."""
        rows, (_, _, patch) = weights.shape(self.positions)[-2], self.patches(weights)
        size = image_side(weights)
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            before = rows - (height // patch[0]) * (width // patch[1])
            if before in (0, 1):
                return before
        return int(self.class_token in weights and math.isqrt(rows) ** 2 != rows)

    def _grid(self, weights, places, patch):
        size = image_side(weights)
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            grid = (height // patch, width // patch)
            if grid[0] * grid[1] == places:
                return grid
        side = math.isqrt(places)
        if side * side != places:
            raise UserError(
                f"{weights.source.where} has positions for {places} patches, which is no square, and "
                "no image size that explains them."
            )
        return side, side

    def theirs(self, path):
        own = {"positions/table": self.positions, "class_token/class_token": self.class_token}
        return (own[path],) if path in own else super().theirs(path)

    def array(self, path, weights):
        array = super().array(path, weights)
        if array is None:
            return None
        if path == "positions/table":
            return array.reshape(-1, array.shape[-1])[self._first_place(weights) :]
        return array.reshape(1, 1, -1) if path == "class_token/class_token" else array

    def parts(self, path, array, shapes):
        if path == "positions/table" and shapes[0][-2] == len(array) + 1:
            # Theirs gives the class token a position, ours none.
            array = np.concatenate([np.zeros_like(array[:1]), array])
        return super().parts(path, array, shapes)

    def adjust(self, path, array, weights):
        if path == "class_token/class_token":
            # Theirs gets a position of its own, ours has none: it goes into the token.
            table = weights.array(self.positions).reshape(-1, array.shape[-1])
            if self._first_place(weights) and table[0].any():
                return array + table[0], "its position added"
            return array, None
        scale = self._scale(path, weights)
        if scale is not None:
            return array * scale, "LayerScale folded in"
        return array, None

    def _scale(self, path, weights):
        part, _, leaf = path.rpartition("/")
        for ours, theirs in self.scales.items():
            block = part.removeprefix("block_").removesuffix(ours)
            if part.endswith(ours) and block.isdigit() and leaf in ("kernel", "bias"):
                name = theirs.replace("{a}", block)
                return weights.array(name) if name in weights else None
        return None


def _usual_heads(dim):
    """Heads of the published ViTs: 64 wide; ViT-H's are 80 wide."""
    if dim == 1280:
        return 16
    return max(1, dim // 64)
