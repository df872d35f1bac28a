import numpy as np
from keras import ops

from eesmm_keras.decoders.transformer_decoder import TransformerDecoder
from eesmm_keras.layers.mask_bank import MaskBank
from eesmm_keras.methods._base import MaskedImageModel
from eesmm_keras.ops import masking


class VisibleOnlyModel(MaskedImageModel):
    """What methods share whose encoder sees visible mask units only, with one mask a batch.

    Masks come from a `MaskBank`, a light transformer decoder predicts the hidden units.

    Args:
        backbone: encoder with `encode_visible`.
        mask_ratio: share of mask units that is hidden.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        mask_bank_size: number of masks drawn ahead.
        num_masks: independent masks a sample.
        images_per_unit: images that the decoder predicts for each mask unit.
        loss_names, seed: see `MaskedImageModel`.
    """

    def __init__(
        self, backbone, mask_ratio, decoder_dim, decoder_depth, decoder_num_heads, mask_bank_size,
        num_masks=1, images_per_unit=1, loss_names=(), seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, loss_names, seed, **kwargs)
        if decoder_depth < 1:
            raise ValueError(
                f"decoder_depth must be at least 1, got {decoder_depth}: a visible-only encoder "
                "gives a linear head nothing to predict hidden units from."
            )
        self.mask_ratio, self.num_masks = mask_ratio, num_masks
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.mask_bank_size = mask_bank_size
        self.mask_bank = MaskBank(
            backbone.geometry, backbone.grid, mask_ratio, num_masks, mask_bank_size,
            seed=self.seed, name="mask_bank",
        )  # fmt: skip
        self.decoder = TransformerDecoder(
            backbone.grid, backbone.stride**2 * backbone.image_shape[-1] * images_per_unit,
            decoder_dim, decoder_depth, decoder_num_heads, name="decoder",
        )  # fmt: skip
        self.mask_bank.build()
        self.decoder.build((None, None, backbone.num_features))

    def pick_mask(self, hidden=None):
        """One mask and its number of visible units: `({"hidden", "order", "plan"}, V)`.

        Args:
            hidden: `(N,)` or `(num_masks, N)`, 1 = hidden; concrete, not traced. None draws one.
        """
        if hidden is None:
            return self.mask_bank.draw(), self.mask_bank.num_visible
        hidden = ops.convert_to_numpy(hidden).reshape(-1, self.mask_bank.num_units)
        return self.mask_bank.plan(hidden), masking.unit_order(hidden)[1]

    def sample_hidden(self, seed):
        """A mask from a seed: `(num_masks, N)`, 1 = hidden."""
        return masking.sample_masks(
            np.random.default_rng(seed), self.mask_bank.num_units, self.mask_ratio, self.num_masks
        )

    def ordered_pixels(self, units, order):
        """Units `(..., N, P)` that stand in `order` as pixel images, see `to_pixels`."""
        return self.to_pixels(ops.take(units, ops.argsort(order), axis=-2))

    def get_config(self):
        return {
            **super().get_config(),
            "mask_ratio": self.mask_ratio,
            "decoder_dim": self.decoder_dim,
            "decoder_depth": self.decoder_depth,
            "decoder_num_heads": self.decoder_num_heads,
            "mask_bank_size": self.mask_bank_size,
        }
