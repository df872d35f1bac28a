import keras
from keras import ops

from eesmm_keras.checks import check_choice, check_flag, check_sides
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.per_batch import BatchMask
from eesmm_keras.methods.method import BatchRule, MaskedImageModel
from eesmm_keras.ops import losses
from eesmm_keras.ops.mixing import partners
from eesmm_keras.ops.patches import images_to_units, put_units, take_units
from eesmm_keras.ops.targets import PixelTarget


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MixMIM(MaskedImageModel):
    """Mixed and masked autoencoder (Liu et al., 2023, MixMAE): two images in one, both rebuilt.

    Where the mask says so, an image's patch tokens are replaced by its partner's at the same place.
    The dense encoder keeps the two apart: tokens attend to those of their own image. The decoder
    gets each image's tokens in turn, a mask token at the other's places, and rebuilds both images.

    Args:
        backbone: encoder whose `encode_tokens` takes sides, `SwinBackbone` (paper: "mixmim_base").
        mask_ratio: share of an image's units that are replaced, rounded down as in the public code.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        partner: "next", image i with image i + 1 of the batch, the last with the first; "reversed",
            i with B - 1 - i as in the public code, where an odd batch mixes the middle image with
            itself; or "pair", images 2k and 2k + 1 with each other (an odd batch: the last image
            with the first). On several devices "next" and "reversed" go round within each device's
            part of the batch, as in the public code, so who is mixed with whom depends on the
            number of devices; under "pair" it does not.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range, or an encoder without sides.
    """

    def __init__(
        self, backbone, mask_ratio=0.5, norm_pixels=True, decoder_dim=512, decoder_depth=8,
        decoder_num_heads=16, partner="next", seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, seed=seed, **kwargs)
        check_sides(backbone)
        self.partner = check_choice("partner", partner, ("next", "reversed", "pair"))
        self.mask_ratio, self.norm_pixels = mask_ratio, check_flag("norm_pixels", norm_pixels)
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads, self.target = decoder_num_heads, PixelTarget(norm_pixels)
        self.mask_seeds = self.seed_generator()
        self.masking = BatchMask(
            num_units=backbone.grid[0] * backbone.grid[1], mask_ratio=mask_ratio,
            seeds=self.mask_seeds, rounding="down",
        )  # fmt: skip
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads
        )
        self.built = True

    @classmethod
    def batch_rule(cls, arguments):
        # A pair stays on one device; elsewhere any image may be another's partner.
        pair = arguments.get("partner") == "pair"
        return BatchRule(images_per_sample=2 if pair else 1, smallest_batch=2)

    def view(self, images, mask, training):
        """One pass: images -> embed -> mix tokens -> encode -> unmix -> decode both.

        Returns:
            dict; N units of P numbers, V of them visible (an image's own): `prediction (B, N - V,
            P)` of image i at its replaced places; `partner_prediction (B, V, P)` of its partner at
            the others; `units (B, N, P)`, normalised pixels; `partner_units`; `mask`.
        """
        backbone = self.backbone
        pixels = backbone.normalization(images)
        side = ops.reshape(mask.hidden, (1, *backbone.grid, 1))
        tokens = backbone.embed(pixels)
        repeats = tokens.shape[1] // backbone.grid[0]
        sides = ops.cast(ops.repeat(ops.repeat(side, repeats, 1), repeats, 2), tokens.dtype)
        mixed = tokens * (1 - sides) + partners(tokens, self.partner) * sides
        latent = backbone.encode_tokens(mixed, side=side, training=training)
        latent = ops.reshape(latent, (-1, mask.hidden.shape[-1], latent.shape[-1]))
        own, other, units = mask.visible, mask.scored, images_to_units(pixels, backbone.stride)
        return {
            "prediction": self.decoder(
                take_units(latent, own), visible=own, scored=other, training=training
            ),
            "partner_prediction": self.decoder(
                take_units(latent, other), visible=other, scored=own, training=training
            ),
            "units": units,
            "partner_units": partners(units, self.partner),
            "mask": mask,
        }

    def view_loss(self, view):
        """Mean squared error of both images over the places that were not theirs: `(total, {})`."""
        own = self.target(take_units(view["units"], view["mask"].scored))
        other = self.target(take_units(view["partner_units"], view["mask"].visible))
        own = losses.unit_errors(view["prediction"], own)
        other = losses.unit_errors(view["partner_prediction"], other)
        return ops.mean(ops.concatenate([other, own], axis=1)), {}

    def view_pictures(self, view):
        """`originals`, `mixed` (what the encoder sees), `reconstructions`, `(B, H, W, C)` each."""
        units, places = view["units"], view["mask"].scored
        hidden = ops.expand_dims(view["mask"].hidden, -1)
        predicted = self.target.pixels(view["prediction"], take_units(units, places))
        kept = units * (1 - hidden)
        pictures = {
            "originals": units,
            "mixed": kept + view["partner_units"] * hidden,
            "reconstructions": kept + put_units(predicted, places, units.shape[1]) * hidden,
        }
        return {name: self.to_pixels(units) for name, units in pictures.items()}

    def head_macs(self, visible, scored):
        # Two sequences are decoded; each is scored where the other was visible.
        return super().head_macs(visible, scored) + super().head_macs(scored, visible)
