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

    def arguments(self, weights):
        weights.notes.append(
            "GreenMIM's code before 16 January 2023 merged patches in another order, which a file does "
            "not show: these weights are taken to be of later code."
        )
        return super().arguments(weights)

    def matches(self, names, outer):
        return (
            "layers.0.downsample.norm.weight" in names and "decoder_blocks.0.norm1.weight" in outer
        )
