from eesmm_keras.converters.vit_layout import MAEDecoder, ViTLayout
from eesmm_keras.converters.vit_timm import TIMM_NAMES


class MAEOfficial(MAEDecoder, ViTLayout):
    """The official code of MAE (He et al., 2022), encoder and decoder. The encoder alone is timm's."""

    title = "MAE of the official code"
    anchor = "patch_embed.proj.weight"
    names = TIMM_NAMES
    ignored = r"decoder_pos_embed"
    note = "CC BY-NC 4.0 (no commercial use), for the official code and its weights"
    checked = "the official code, run"
    rank = 1

    def matches(self, names, outer):
        return "blocks.0.attn.qkv.weight" in names and "decoder_blocks.0.attn.qkv.weight" in names
