import keras

from eesmm_keras.methods._visible import MaskedAutoencoder


@keras.saving.register_keras_serializable(package="eesmm_keras")
class GreenMIM(MaskedAutoencoder):
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
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        loss: "mse" or "l1", over hidden units.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        num_views: masked views of each image in a step, hidden sets disjoint (DMJD).
        block_size: units are hidden in squares of this side.
        seed: int; None draws one.
    """

    def __init__(
        self,
        backbone,
        mask_ratio=0.75,
        norm_pixels=True,
        decoder_dim=512,
        decoder_depth=1,
        decoder_num_heads=16,
        loss="mse",
        mask_bank_size=256,
        num_views=1,
        block_size=1,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            backbone, mask_ratio, mask_sharing="batch", norm_pixels=norm_pixels, loss=loss,
            num_views=num_views, block_size=block_size, decoder_dim=decoder_dim,
            decoder_depth=decoder_depth, decoder_num_heads=decoder_num_heads,
            mask_bank_size=mask_bank_size, seed=seed, **kwargs,
        )  # fmt: skip
