from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout


class SwinOfficial(SwinLayout):
    """The official code of Swin (Liu et al., 2021), and timm before 0.9: merging at the stage's end."""

    title = "Swin of the official code"
    anchor = "patch_embed.proj.weight"
    names = OFFICIAL_NAMES
    outside = {"classifier": "head"}
    note = "MIT, for the weights that were released with the official code"
    checked = "the official code, run"

    def matches(self, names, outer):
        table = "layers.0.blocks.0.attn.relative_position_bias_table"
        return table in names and "layers.0.downsample.norm.weight" in names
