from eesmm_keras.converters.converter import Converter
from eesmm_keras.errors import UserError


class DMJDOfficial(Converter):
    """The official code of DMJD (Ma et al., 2022): only told apart, its encoder is none of ours.

    The public code has one encoder, ConViT of ConvMAE: two stages of convolutions before a ViT.
    """

    title = "DMJD or ConvMAE of the official code"
    anchor = "patch_embed1.proj.weight"
    note = "MIT for the official code"
    checked = "names in the official code"

    def matches(self, names, outer):
        return "blocks1.0.conv1.weight" in names

    def arguments(self, weights):
        raise UserError(
            f"{weights.source.where} holds {self.title}, whose encoder is a ConViT (convolutions "
            "before a ViT). No encoder of this package is one: it cannot be taken over."
        )
