import keras
from keras import ops

from eesmm_keras.checks import MAX_WIDTH, check_choice, check_number, check_whole
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.layers.mlp_projector import MLPProjector
from eesmm_keras.methods.hidden_features import feature_pictures
from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses, masking
from eesmm_keras.ops.patches import images_to_units, take_units
from eesmm_keras.ops.targets import HOGTarget, PixelTarget, check_hog_cell


@keras.saving.register_keras_serializable(package="eesmm_keras")
class DMJD(MaskedImageModel):
    """Disjoint masking with joint distillation (Ma et al., 2022, DMJD).

    Several masked views of each image in one step, hidden sets as disjoint as the ratio allows. Two
    branches share the encoder: the decoder predicts the hidden units, a projector with a linear
    predictor the visible ones, both whitened HOG features. The public code has a mask per image and
    scores visible units against others of it; here the batch shares masks, and each has its own target.

    Args:
        backbone: encoder with `encode_visible`.
        mask_ratio: share of mask units that is hidden in each view, rounded up.
        num_views: views of each image in a step; 1: no disjoint masking.
        block_size: units are hidden in squares of this side; None: of 32 pixels where units fit.
        prediction_ratio: share of units the views predict together; sets `learning_rate_scale`.
        target: "hog", of pixels 0..255, or "pixels", whitened per unit.
        whitening: of HOG features: "cell", by mean and deviation of a cell's 9 orientations; or "unit".
        hog_cell: side of a HOG cell in pixels; None: 8, or the unit's side if that is smaller.
        theta: weight of the visible branch; 0 turns joint distillation off.
        projector_dim: width of the projector's three layers (512 in the public code).
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range.
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.6, num_views=2, block_size=None, prediction_ratio=1.0,
        target="hog", hog_cell=None, whitening="cell", theta=1.0, projector_dim=512, decoder_dim=512,
        decoder_depth=1, decoder_num_heads=16, mask_bank_size=256, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, loss_names=("loss_hidden", "loss_visible"), seed=seed, **kwargs)
        stride, channels = backbone.stride, backbone.image_shape[-1]
        self.hog_cell = hog_cell = check_hog_cell(hog_cell, stride)
        if block_size is None:
            block_size = masking.default_block_size(backbone.grid, stride)
        self.mask_ratio, self.prediction_ratio = mask_ratio, prediction_ratio
        self.num_views, self.block_size = num_views, block_size
        self.target = check_choice("target", target, ("hog", "pixels"))
        self.whitening = check_choice("whitening", whitening, ("cell", "unit"))
        self.theta = check_number("theta", theta, 0)
        self.projector_dim = check_whole("projector_dim", projector_dim, 1, MAX_WIDTH)
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads, self.mask_bank_size = decoder_num_heads, mask_bank_size
        self.hog = HOGTarget(stride, channels, hog_cell, whitening) if target == "hog" else None
        self.masking = MaskBank.of(
            backbone, mask_ratio, size=mask_bank_size, seed=self.seed, num_views=num_views,
            prediction_ratio=prediction_ratio, block_size=block_size,
        )  # fmt: skip
        size = self.hog.size if self.hog else backbone.unit_pixels
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads, output_dim=size
        )
        self.projector = None
        if theta:
            self.projector = MLPProjector(dim=projector_dim, output_dim=size, name="projector")
            self.projector.build((None, None, backbone.num_features))
        self.learning_rate_scale = self.masking.sampler.prediction_rate / mask_ratio
        self.built = True

    def view(self, images, mask, training):
        """One masked view: images -> encode (visible) -> decode the hidden, project the visible.

        Returns:
            dict: `prediction (B, N - V, D)`; `visible_prediction (B, V, D)`, if theta is not 0;
            `target (B, N, D)`, not whitened; `units (B, N, P)`, normalised pixels; `mask`.
        """
        backbone = self.backbone
        pixels = backbone.normalization(images)
        units = images_to_units(pixels, backbone.stride)
        visible = take_units(units, mask.visible)
        latent = backbone.encode_visible(visible, plan=mask.plan, training=training)
        target = self.hog.features(pixels, backbone.std) if self.hog else units
        view = {"target": target, "units": units, "mask": mask}
        view["prediction"] = self.decoder(
            latent, visible=mask.visible, scored=mask.scored, training=training
        )
        if self.projector:
            latent = latent[:, backbone.num_prefix_tokens :]
            view["visible_prediction"] = ops.cast(self.projector(latent), "float32")
        return view

    def view_loss(self, view):
        """MSE on hidden units plus theta times smooth L1 (beta 2) on visible ones."""
        mask, whiten = view["mask"], self.hog or PixelTarget()
        hidden = whiten(take_units(view["target"], mask.scored))
        of_hidden = ops.mean(losses.unit_errors(view["prediction"], hidden))
        of_visible = ops.zeros_like(of_hidden)
        if self.projector:
            visible = whiten(take_units(view["target"], mask.visible))
            of_visible = ops.mean(losses.smooth_l1(view["visible_prediction"] - visible, beta=2.0))
        terms = {"loss_hidden": of_hidden, "loss_visible": of_visible}
        return of_hidden + self.theta * of_visible, terms

    def view_pictures(self, view):
        return feature_pictures(self, view, self.hog)

    def head_macs(self, visible, scored):
        projector = self.projector.macs(self.backbone.num_features) if self.projector else 0
        return super().head_macs(visible, scored) + visible * projector
