import keras

from eesmm_keras.methods._visible import MaskedAutoencoder


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MAE(MaskedAutoencoder):
    """Masked autoencoder (He et al., 2022): visible patches in, a deeper decoder, hidden pixels out.

    The paper's encoder is a ViT, and every image has its own mask. With an encoder that works under
    one mask a batch (Swin), the batch shares one; what is left of MAE then is its decoder.

    Args:
        backbone: encoder with `encode_visible`; in the paper a `ViTBackbone`.
        mask_ratio: share of mask units (patches) that is hidden, rounded up.
        norm_pixels: normalise each target patch by its own mean and standard deviation.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        loss: "mse" or "l1", over hidden patches.
        mask_sharing: "image", "batch", or None for "image" where the encoder can.
        mask_bank_size: number of masks drawn ahead for "batch", see `MaskBank`.
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
        decoder_depth=8,
        decoder_num_heads=16,
        loss="mse",
        mask_sharing=None,
        mask_bank_size=256,
        num_views=1,
        block_size=1,
        seed=None,
        **kwargs,
    ):
        if mask_sharing is None:
            mask_sharing = "image" if getattr(backbone, "per_image_masks", False) else "batch"
        super().__init__(
            backbone, mask_ratio, mask_sharing=mask_sharing, norm_pixels=norm_pixels, loss=loss,
            num_views=num_views, block_size=block_size, decoder_dim=decoder_dim,
            decoder_depth=decoder_depth, decoder_num_heads=decoder_num_heads,
            mask_bank_size=mask_bank_size, seed=seed, **kwargs,
        )  # fmt: skip

    def get_config(self):
        return {**super().get_config(), "mask_sharing": self.mask_sharing}
