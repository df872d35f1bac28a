from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout


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

    def matches(self, names, outer):
        table = "layers.0.blocks.0.attn.relative_position_bias_table"
        return table in names and "layers.0.downsample.norm.weight" not in names

    def arguments(self, weights):
        arguments = super().arguments(weights)
        height, width, _ = arguments["image_shape"]
        windows = arguments["window_size"]
        for stage, depth in enumerate(arguments["depths"]):
            window = windows if isinstance(windows, int) else windows[stage]
            cell = arguments["patch_size"] * 2**stage
            sides = (height // cell, width // cell)
            if depth > 1 and min(sides) > window and any(side % window for side in sides):
                weights.notes.append(
                    "timm rolls maps before it pads them, this package after, as the official code: "
                    f"at {height}x{width} pixels, whose maps are no multiple of the window, features "
                    "differ."
                )
                break
        return arguments
