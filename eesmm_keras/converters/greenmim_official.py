from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout
from eesmm_keras.converters.vit_layout import MAEDecoder


class GreenMIMOfficial(MAEDecoder, SwinLayout):
    """The official code of GreenMIM on Swin (Huang et al., 2022): encoder and decoder."""

    title = "GreenMIM of the official code"
    anchor = "patch_embed.proj.weight"
    names = OFFICIAL_NAMES
    norm_epsilon = 1e-6
    note = "CC BY-NC 4.0 (no commercial use), for the official code and its weights"
    checked = "the official code, run"
    rank = 2

    def matches(self, names, outer):
        return (
            "layers.0.downsample.norm.weight" in names and "decoder_blocks.0.norm1.weight" in outer
        )
