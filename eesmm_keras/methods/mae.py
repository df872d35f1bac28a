import keras

from eesmm_keras.checks import check_choice
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.layers.masking.per_image import PerImageMasks
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops.patches import take_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MAE(HiddenPixels):
    """Masked autoencoder (He et al., 2022): visible patches in, a deeper decoder, hidden pixels out.

    The paper's encoder is a ViT, and every image has its own mask. With an encoder that works under
    one mask per batch (Swin), the batch shares one; what is left of MAE then is its decoder.

    Args:
        backbone: encoder with `encode_visible`; in the paper a `ViTBackbone`.
        mask_ratio: share of mask units (patches) that is hidden, rounded up.
        norm_pixels: normalise each target patch by its own mean and standard deviation.
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        loss: "mse" or "l1", over hidden patches.
        mask_sharing: "image", "batch", or None for "image" where the encoder can.
        mask_bank_size: number of masks drawn ahead for "batch", see `MaskBank`.
        num_views: masked views of each image in a step, hidden sets disjoint (DMJD).
        block_size: units are hidden in squares of this side.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range, or an encoder that cannot encode
            under a mask for each image.
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.75, norm_pixels=True, decoder_dim=512, decoder_depth=8,
        decoder_num_heads=16, loss="mse", mask_sharing=None, mask_bank_size=256, num_views=1,
        block_size=1, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels=norm_pixels, loss=loss, seed=seed, **kwargs)
        if mask_sharing is None:
            mask_sharing = "image" if backbone.per_image_masks else "batch"
        check_choice("mask_sharing", mask_sharing, ("batch", "image"))
        if mask_sharing == "image" and not backbone.per_image_masks:
            raise ValueError(
                f"{type(backbone).__name__} encodes visible units under one mask for the whole "
                'batch only: take mask_sharing="batch", or a ViTBackbone.'
            )
        self.mask_ratio, self.num_views, self.block_size = mask_ratio, num_views, block_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.mask_sharing, self.mask_bank_size = mask_sharing, mask_bank_size
        sampling = {"num_views": num_views, "block_size": block_size}
        if mask_sharing == "image":
            self.mask_seeds = self.seed_generator(1)
            self.masking = PerImageMasks(
                grid=backbone.grid, mask_ratio=mask_ratio, seeds=self.mask_seeds, **sampling
            )
        else:
            self.masking = MaskBank.of(
                backbone, mask_ratio, size=mask_bank_size, seed=self.seed, **sampling
            )
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads
        )
        self.built = True

    @property
    def former_state(self):
        # Earlier releases had a mask bank under per-image masks too, and seeds for these under a bank.
        return (2 + len(self.backbone.variables),) if self.mask_sharing == "image" else (0,)

    def view(self, images, mask, training):
        """One masked view: images -> units -> encode (visible) -> decode; see `HiddenPixels`."""
        units = self.backbone.units_of(images)
        visible = take_units(units, mask.visible)
        latent = self.backbone.encode_visible(visible, plan=mask.plan, training=training)
        prediction = self.decoder(
            latent, visible=mask.visible, scored=mask.scored, training=training
        )
        return {"prediction": prediction, "units": units, "mask": mask}
