from eesmm_keras.converters.swin_layout import (
    OFFICIAL_NAMES,
    SwinLayout,
    is_padded,
    one_or_two,
    stage_maps,
)
from eesmm_keras.errors import UserError


class SwinTimm(SwinLayout):
    """Swin of timm since 0.9: merging stands at the begin of the stage that it leads to."""

    title = "Swin of timm"
    anchor = "patch_embed.proj.weight"
    names = {
        **OFFICIAL_NAMES,
        "merging_{a}/norm": "layers.{a+1}.downsample.norm",
        "merging_{a}/reduction": "layers.{a+1}.downsample.reduction",
    }
    outside = {"classifier": "head.fc"}
    note = "MIT, for the weights of the official Swin that timm took over"
    checked = "timm 1.0.31, run"
    library = "timm"

    def matches(self, names, outer):
        table = "layers.0.blocks.0.attn.relative_position_bias_table"
        return table in names and "layers.0.downsample.norm.weight" not in names

    def arguments(self, weights):
        arguments = super().arguments(weights)
        height, width, _ = arguments["image_shape"]
        if _rolls_first(stage_maps(arguments), arguments["depths"]):
            weights.notes.append(
                "timm rolls maps before it pads them, this package after, as the official code: "
                f"at {height}x{width} pixels, whose maps are no multiple of the window, features "
                "differ."
            )
        return arguments

    def model_class(self, encoder, pooling):
        if pooling not in (None, "mean"):
            return None
        return _PUBLISHED.get((encoder.embed_dim, encoder.depths), _PUBLISHED[96, (2, 2, 6, 2)])

    def config(self, encoder, pooling):
        self.check_shift(encoder)
        stages, window = encoder.geometry, self.one_window(encoder)
        self.check_plain(encoder)
        maps = [(stage.height, stage.width) for stage in stages]
        if _rolls_first([(*sides, window) for sides in maps], encoder.depths):
            raise UserError(
                f"{self.title} rolls maps before it pads them, this package after, as the official "
                f"code: maps of {', '.join(f'{h}x{w}' for h, w in maps)} are no multiple of the window "
                f"{window}, so that features would differ. encoder.resized(...) changes the size."
            )
        return {
            "img_size": one_or_two(encoder.image_shape[:2]),
            "patch_size": encoder.patch_size,
            "in_chans": encoder.image_shape[2],
            "embed_dim": encoder.embed_dim,
            "depths": list(encoder.depths),
            "num_heads": list(encoder.num_heads),
            "window_size": window,
            "mlp_ratio": encoder.mlp_ratio,
            "qkv_bias": encoder.qkv_bias,
        }


# Any of timm's names takes any arguments; the published sizes keep theirs.
_PUBLISHED = {
    (96, (2, 2, 6, 2)): "swin_tiny_patch4_window7_224",
    (96, (2, 2, 18, 2)): "swin_small_patch4_window7_224",
    (128, (2, 2, 18, 2)): "swin_base_patch4_window7_224",
    (192, (2, 2, 18, 2)): "swin_large_patch4_window7_224",
}


def _rolls_first(maps, depths):
    """Whether a stage both shifts and pads, which timm does in another order."""
    return any(depth > 1 and is_padded(*sides) for sides, depth in zip(maps, depths, strict=True))
