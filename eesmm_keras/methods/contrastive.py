import keras
from keras import ops

from eesmm_keras.checks import MAX_WIDTH, check_flag, check_number, check_whole
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.layers.mlp_projector import MLPProjector
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.methods.method import BatchRule
from eesmm_keras.ops import losses
from eesmm_keras.ops.colors import random_colors
from eesmm_keras.ops.crops import crop_macs, random_crops
from eesmm_keras.ops.patches import take_units
from eesmm_keras.parallel import gather_rows

# Width of the vectors that are compared (SimCLR).
_COMPARED = 128


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ContrastiveMIM(HiddenPixels):
    """Masked image modelling and contrast in one step, on visible tokens only.

    Every image gives two random crops. Each is masked, with masks whose visible units differ; a light
    decoder rebuilds the hidden pixels of each crop (as `GreenMIM`), and the mean of its visible tokens,
    projected, must be closer to that of the image's other crop than to those of other images of the
    batch, on whatever device. After CAN (Mishra et al., 2022), without its noise prediction.

    Args:
        backbone: encoder with `encode_visible`, for example `SwinBackbone`.
        mask_ratio: share of mask units that is hidden in each crop, rounded up to whole units.
        smallest_crop: share of the area that a crop takes at least, in (0, 1].
        mirror: mirror half of the crops; not where left and right mean something, as in writing.
        color_strength: change the colours of each crop, see `random_colors`; in [0, 1].
        temperature: of the contrast, above 0.
        contrast_weight: weight of the contrast beside the error on pixels; 0 turns it off.
        projector_dim: width of the projector's hidden layer.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        loss: "mse" or "l1", over hidden units.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range.
    """

    encodes_visible = meets_replicas = True

    def __init__(
        self, backbone, mask_ratio=0.75, smallest_crop=0.3, mirror=True, color_strength=0.0,
        temperature=0.1, contrast_weight=1.0, projector_dim=256, norm_pixels=True, decoder_dim=512,
        decoder_depth=1, decoder_num_heads=16, loss="mse", mask_bank_size=256, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            backbone, norm_pixels=norm_pixels, loss=loss, seed=seed,
            loss_names=("loss_pixels", "loss_contrast"), **kwargs,
        )  # fmt: skip
        self.mask_ratio, self.mask_bank_size = mask_ratio, mask_bank_size
        self.smallest_crop = check_number("smallest_crop", smallest_crop, 0.01, 1)
        self.mirror = check_flag("mirror", mirror)
        self.color_strength = check_number("color_strength", color_strength, 0, 1)
        self.temperature = check_number("temperature", temperature, 0.001, 100)
        self.contrast_weight = check_number("contrast_weight", contrast_weight, 0)
        self.projector_dim = check_whole("projector_dim", projector_dim, 1, MAX_WIDTH)
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.crop_seeds = self.seed_generator(1)
        self.masking = MaskBank.of(
            backbone, mask_ratio, size=mask_bank_size, seed=self.seed, num_views=2
        )
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads
        )
        self.projector = MLPProjector(
            dim=projector_dim, output_dim=_COMPARED, num_layers=1, name="projector"
        )
        self.projector.build((None, 1, backbone.num_features))
        self.built = True

    @classmethod
    def batch_rule(cls, arguments):
        return BatchRule(smallest_batch=2, views=2)

    def cropped(self, images, training):
        """What is encoded of a batch: while training a new random crop of every image, else all."""
        images = ops.cast(images, "float32")
        if training:
            images = random_crops(images, self.crop_seeds, self.smallest_crop, self.mirror)
            images = random_colors(images, self.crop_seeds, self.color_strength)
        return images

    def view(self, images, mask, training):
        """One crop, masked: encode (visible) -> decode, project. `compared (B, 128)`: unit vectors."""
        units = self.backbone.units_of(self.cropped(images, training))
        visible = take_units(units, mask.visible)
        latent = self.backbone.encode_visible(visible, plan=mask.plan, training=training)
        prediction = self.decoder(latent, mask.visible, mask.scored, training=training)
        tokens = latent[:, self.backbone.num_prefix_tokens :]
        compared = self.projector(ops.mean(tokens, axis=1, keepdims=True))[:, 0]
        compared = ops.normalize(ops.cast(compared, "float32"), axis=-1)
        return {"prediction": prediction, "units": units, "mask": mask, "compared": compared}

    def loss_terms(self, outputs):
        """Error on pixels, mean over both crops, and `contrast_weight` times their contrast."""
        pixels, _ = super().loss_terms(outputs)
        first, second = (view["compared"] for view in self._views(outputs))
        among, place = gather_rows(ops.concatenate([first, second], axis=-1))
        among = ops.split(among, 2, axis=-1)
        contrast = losses.contrast(first, second, self.temperature, among, place)
        terms = {"loss_pixels": pixels, "loss_contrast": contrast}
        return pixels + self.contrast_weight * contrast, terms

    def head_macs(self, visible, scored):
        crops = crop_macs(self.backbone.image_shape)
        others = crops + self.projector.macs(self.backbone.num_features)
        return super().head_macs(visible, scored) + others
