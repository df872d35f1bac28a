import keras

from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops.patches import take_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class GreenMIM(HiddenPixels):
    """Masked image modelling on visible tokens only (Huang et al., 2022, GreenMIM).

    One mask for the whole batch, an encoder that sees visible units only (uneven windows packed
    into groups, section 3.2), a light decoder, and the mean squared error on hidden units.

    With copied weights and masks, latents, predictions and loss equal the public code, but for two
    things. There, the decoder takes the visible tokens, which come in the order of the map, to be in
    the order in which they were drawn, and so puts them at other visible places; here each stands at
    its own. And maps that are no multiple of the window attend to their padding, as in Swin. Weights of
    the public code before 16 January 2023 need the four blocks of each patch merging's input in the
    order 0, 2, 1, 3.

    Args:
        backbone: encoder with `encode_visible`, for example `SwinBackbone`.
        mask_ratio: share of mask units that is hidden, rounded up to whole units.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        loss: "mse" or "l1", over hidden units.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        num_views: masked views of each image in a step, hidden sets disjoint (DMJD).
        block_size: units are hidden in squares of this side.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range.
    """

    encodes_visible = True
    # An earlier release had a seed generator here that nothing used.
    former_state = (0,)

    def __init__(
        self, backbone, mask_ratio=0.75, norm_pixels=True, decoder_dim=512, decoder_depth=1,
        decoder_num_heads=16, loss="mse", mask_bank_size=256, num_views=1, block_size=1, seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels=norm_pixels, loss=loss, seed=seed, **kwargs)
        self.mask_ratio, self.num_views, self.block_size = mask_ratio, num_views, block_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads, self.mask_bank_size = decoder_num_heads, mask_bank_size
        self.masking = MaskBank.of(
            backbone, mask_ratio, size=mask_bank_size, seed=self.seed, num_views=num_views,
            block_size=block_size,
        )  # fmt: skip
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads
        )
        self.built = True

    def view(self, images, mask, training):
        """One masked view: images -> units -> encode (visible) -> decode; see `HiddenPixels`."""
        units = self.backbone.units_of(images)
        visible = take_units(units, mask.visible)
        latent = self.backbone.encode_visible(visible, plan=mask.plan, training=training)
        prediction = self.decoder(
            latent, visible=mask.visible, scored=mask.scored, training=training
        )
        return {"prediction": prediction, "units": units, "mask": mask}
