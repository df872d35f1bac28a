from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout
from eesmm_keras.converters.vit_layout import MAEDecoder


class MixMIMOfficial(MAEDecoder, SwinLayout):
    """The official code of MixMIM, also called MixMAE (Liu et al., 2023): encoder and decoder."""

    title = "MixMIM of the official code"
    anchor = "patch_embed.proj.weight"
    names = OFFICIAL_NAMES
    shift = False
    ignored = rf"{SwinLayout.ignored}|decoder_pos_embed"
    note = "the official repository states no licence"
    checked = "the official code, run"
    rank = 2

    def matches(self, names, outer):
        mixed = "absolute_pos_embed" in names and "layers.0.downsample.norm.weight" in names
        return mixed and "layers.0.blocks.0.attn.relative_position_bias_table" in names
