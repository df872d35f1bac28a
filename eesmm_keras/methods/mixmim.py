import keras
import numpy as np
from keras import ops

from eesmm_keras.checks import check_choice
from eesmm_keras.decoders.transformer_decoder import TransformerDecoder
from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses, masking
from eesmm_keras.ops.patches import images_to_units
from eesmm_keras.parallel import device_parts


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MixMIM(MaskedImageModel):
    """Mixed and masked autoencoder (Liu et al., 2023, MixMAE): two images in one, both rebuilt.

    Where the mask says so, an image's patch tokens are replaced by its partner's at the same place.
    The dense encoder keeps the two apart: tokens attend to those of their own image. The decoder
    gets each image's tokens in turn, a mask token at the other's places, and rebuilds both images.

    Args:
        backbone: encoder whose `encode_tokens` takes sides: a `SwinBackbone`; the paper's variant is
            the preset "mixmim_base".
        mask_ratio: share of an image's units that are replaced, rounded down as in the public code.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        partner: "next", image i with image i + 1 of the batch, the last with the first; "reversed",
            i with B - 1 - i as in the public code, where an odd batch mixes the middle image with
            itself; or "pair", images 2k and 2k + 1 with each other (an odd batch: the last image
            with the first). On several devices "next" and "reversed" go round within each device's
            part of the batch, as in the public code, so who is mixed with whom depends on the
            number of devices; under "pair" it does not.
        seed: int; None draws one.
    """

    smallest_batch = 2

    def __init__(
        self,
        backbone,
        mask_ratio=0.5,
        norm_pixels=True,
        decoder_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
        partner="next",
        seed=None,
        **kwargs,
    ):
        super().__init__(backbone, (), seed, **kwargs)
        check_choice("partner", partner, ("next", "reversed", "pair"))
        self.mask_ratio, self.norm_pixels, self.partner = mask_ratio, norm_pixels, partner
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.num_units = backbone.grid[0] * backbone.grid[1]
        self.num_hidden = masking.num_hidden(self.num_units, mask_ratio, "down")
        self.mask_seeds = keras.random.SeedGenerator(self.seed)
        self.decoder = TransformerDecoder(
            backbone.grid, self.unit_pixels, decoder_dim, decoder_depth, decoder_num_heads,
            name="decoder",
        )  # fmt: skip
        self.decoder.build((None, None, backbone.num_features))
        self.built = True

    @classmethod
    def images_in_sample(cls, arguments):
        # A pair stays on one device.
        return 2 if arguments.get("partner") == "pair" else 1

    def call(self, images, hidden=None, training=False):
        """One pass: images -> embed -> mix tokens -> encode -> unmix -> decode both.

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: optional mask, `(N,)` or `(1, N)`, 1 = an image's own token is replaced by its
                partner's; concrete, not traced. None draws one for the whole batch.

        Returns:
            dict; N units of P numbers, the V that an image keeps first in `order (N,)`:
            `prediction (B, N - V, P)` of image i at its replaced places; `partner_prediction
            (B, V, P)` of its partner at the others; `units (B, N, P)`, normalised pixels in
            `order`; `partner_units`, the same of the partners.
        """
        order, visible = self._order(hidden)
        count, backbone = self.num_units, self.backbone
        pixels = backbone.normalization(images)
        replaced = ops.cast(ops.argsort(order) >= visible, "float32")
        side = ops.reshape(replaced, (1, *backbone.grid, 1))

        tokens = backbone.embed(pixels)
        repeats = tokens.shape[1] // backbone.grid[0]
        sides = ops.repeat(ops.repeat(side, repeats, axis=1), repeats, axis=2)
        sides = ops.cast(sides, tokens.dtype)
        tokens = tokens * (1 - sides) + self._partners(tokens) * sides
        latent = backbone.encode_tokens(tokens, side=side, training=training)
        latent = ops.reshape(latent, (-1, count, latent.shape[-1]))
        latent = ops.take(latent, order, axis=1)

        other = ops.concatenate([order[visible:], order[:visible]])
        prediction = self.decoder(
            latent[:, :visible], order=order, first_scored=visible, training=training
        )
        partner_prediction = self.decoder(
            latent[:, visible:], order=other, first_scored=count - visible, training=training
        )
        units = ops.take(images_to_units(pixels, backbone.stride), order, axis=1)
        return {
            "prediction": ops.cast(prediction, "float32"),
            "partner_prediction": ops.cast(partner_prediction, "float32"),
            "units": units,
            "partner_units": self._partners(units),
            "order": order,
        }

    def _order(self, hidden):
        """Units with the kept ones first, and their number."""
        if hidden is not None:
            hidden = ops.convert_to_numpy(hidden).reshape(1, self.num_units)
            orders, visible = masking.unit_orders(hidden)
            return ops.convert_to_tensor(orders[0]), visible
        noise = keras.random.uniform((self.num_units,), seed=self.mask_seeds)
        return ops.argsort(noise), self.num_units - self.num_hidden

    def _partners(self, x):
        """The partner of every image of a batch `(B, ...)`, within each device's part of it."""
        if self.partner == "pair":
            rows = ops.shape(x)[0]
            partner = ops.bitwise_xor(ops.arange(rows, dtype="int32"), 1)
            return ops.take(x, ops.where(partner < rows, partner, 0), axis=0)
        count = device_parts(x.shape[0]) if x.shape[0] else 1
        grouped = ops.reshape(x, (count, -1, *x.shape[1:]))
        reverse = self.partner == "reversed"
        partners = ops.flip(grouped, axis=1) if reverse else ops.roll(grouped, -1, axis=1)
        return ops.reshape(partners, (-1, *x.shape[1:]))

    def _target(self, units):
        if not self.norm_pixels:
            return units, 0.0, 1.0
        mean, scale = losses.unit_statistics(units)
        return (units - mean) / scale, mean, scale

    def loss_terms(self, outputs):
        """Mean squared error of both images over the places that were not theirs: `(total, {})`."""
        visible = outputs["partner_prediction"].shape[1]
        own = self._target(outputs["units"][:, visible:])[0]
        partner = self._target(outputs["partner_units"][:, :visible])[0]
        errors = ops.concatenate(
            [
                losses.unit_errors(outputs["partner_prediction"], partner),
                losses.unit_errors(outputs["prediction"], own),
            ],
            axis=1,
        )
        return ops.mean(errors), {}

    def pictures(self, outputs):
        """`originals`, `mixed` (what the encoder sees), `reconstructions`, `(B, H, W, C)` each."""
        units, visible = outputs["units"], outputs["partner_prediction"].shape[1]
        _, mean, scale = self._target(units[:, visible:])
        kept = units[:, :visible]
        pictures = {
            "originals": units,
            "mixed": ops.concatenate([kept, outputs["partner_units"][:, visible:]], axis=1),
            "reconstructions": ops.concatenate(
                [kept, outputs["prediction"] * scale + mean], axis=1
            ),
        }
        back = ops.argsort(outputs["order"])
        return {name: self.to_pixels(ops.take(x, back, axis=1)) for name, x in pictures.items()}

    def sample_hidden(self, seed):
        """A mask from a seed: `(1, N)`, 1 = replaced by the partner."""
        rng = np.random.default_rng(seed)
        return masking.random_masks(rng, 1, self.num_units, self.num_hidden)

    def get_config(self):
        return {
            **super().get_config(),
            "mask_ratio": self.mask_ratio,
            "norm_pixels": self.norm_pixels,
            "decoder_dim": self.decoder_dim,
            "decoder_depth": self.decoder_depth,
            "decoder_num_heads": self.decoder_num_heads,
            "partner": self.partner,
        }
