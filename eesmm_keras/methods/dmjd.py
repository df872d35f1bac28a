import keras
from keras import ops

from eesmm_keras.checks import check_choice
from eesmm_keras.layers.mlp_projector import MLPProjector
from eesmm_keras.methods._visible import VisibleOnlyModel, take_units
from eesmm_keras.ops import losses, masking
from eesmm_keras.ops.hog import units_hog
from eesmm_keras.ops.patches import images_to_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class DMJD(VisibleOnlyModel):
    """Disjoint masking with joint distillation (Ma et al., 2022, DMJD).

    Several masked views of each image in one step, each with the same ratio, with hidden sets as
    disjoint as it allows: the share of units that are predicted rises while the corruption stays.
    Two branches share the encoder: the decoder predicts the hidden units, and a projector with a
    linear predictor the visible ones. Both predict HOG features, whitened. The views share
    their masks over the batch, where the public code has one an image. There, the visible branch's
    predictions and targets stand in different orders, which scores units against others of the image;
    here each is scored against its own.

    Args:
        backbone: encoder with `encode_visible`.
        mask_ratio: share of mask units that is hidden in each view, rounded up.
        num_views: views of each image in a step. 1 turns disjoint masking off.
        block_size: units are hidden in squares of this side; None makes squares of 32 pixels where the
            units are smaller and divide them, as in the public code on ViT.
        prediction_ratio: share of the units that the views together predict; the public code's name
            for it is pred_ratio.
        target: "hog", of pixels 0..255, or "pixels", whitened per unit.
        whitening: of HOG features: "cell", by mean and deviation of the 9 orientations of each cell and
            channel, as the public code's instance whitening; or "unit", over the whole unit.
        hog_cell: side of a HOG cell in pixels; None: 8, or the unit's side if that is smaller.
        theta: weight of the visible branch; 0 turns joint distillation off.
        projector_dim: width of the projector's three layers (512 in the public code).
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        seed: int; None draws one.

    Attributes:
        learning_rate_scale: prediction rate over corruption rate, by which the paper scales the
            learning rate; `eesmm pretrain` does.
    """

    def __init__(
        self,
        backbone,
        mask_ratio=0.6,
        num_views=2,
        block_size=None,
        prediction_ratio=1.0,
        target="hog",
        hog_cell=None,
        whitening="cell",
        theta=1.0,
        projector_dim=512,
        decoder_dim=512,
        decoder_depth=1,
        decoder_num_heads=16,
        mask_bank_size=256,
        seed=None,
        **kwargs,
    ):
        check_choice("target", target, ("hog", "pixels"))
        check_choice("whitening", whitening, ("cell", "unit"))
        stride, channels = backbone.stride, backbone.image_shape[-1]
        cell = min(8, stride) if hog_cell is None else hog_cell
        if stride % cell:
            raise ValueError(f"hog_cell must divide the mask unit's side {stride}, got {cell}.")
        if block_size is None:
            block_size = masking.default_block_size(backbone.grid, stride)
        dims = (stride // cell) ** 2 * channels * 9 if target == "hog" else stride**2 * channels
        super().__init__(
            backbone, mask_ratio, num_views=num_views, block_size=block_size,
            prediction_ratio=prediction_ratio, decoder_dim=decoder_dim, decoder_depth=decoder_depth,
            decoder_num_heads=decoder_num_heads, mask_bank_size=mask_bank_size, output_dim=dims,
            loss_names=("loss_hidden", "loss_visible"), seed=seed, **kwargs,
        )  # fmt: skip
        if theta < 0:
            raise ValueError(f"theta must not be negative, got {theta}.")
        self.target, self.hog_cell, self.theta = target, cell, theta
        self.whitening = whitening
        self.projector_dim, self.prediction_ratio = projector_dim, prediction_ratio
        self.projector = None
        if theta:
            self.projector = MLPProjector(projector_dim, dims, name="projector")
            self.projector.build((None, None, backbone.num_features))
        self.learning_rate_scale = self.sampler.prediction_rate / mask_ratio
        self.built = True

    def view(self, images, mask, visible, training):
        """One masked view: images -> encode (visible) -> decode the hidden, project the visible.

        Returns:
            dict; N units of P pixels and D target numbers, the visible V first in `order (N,)`:
            `prediction (B, N - V, D)`; `visible_prediction (B, V, D)`, if theta is not 0; `target
            (B, N, D)`, not whitened, and `units (B, N, P)`, normalised pixels, both in `order`.
        """
        order, backbone = mask["order"], self.backbone
        pixels = backbone.normalization(images)
        units = take_units(images_to_units(pixels, backbone.stride), order)
        latent = backbone.encode_visible(units[:, :visible], mask["plan"], training=training)
        prediction = self.decoder(latent, order=order, first_scored=visible, training=training)
        outputs = {
            "prediction": ops.cast(prediction, "float32"),
            "units": units,
            "target": units,
            "order": order,
        }
        if self.target == "hog":
            # Gradients of pixels 0..255; what was subtracted from them does not matter.
            raw = pixels * (255.0 * ops.convert_to_tensor(backbone.std, "float32"))
            features = units_hog(raw, backbone.stride, self.hog_cell)
            outputs["target"] = take_units(features, order)
        if self.projector:
            latent = latent[:, latent.shape[1] - visible :]
            projected = self.projector(latent)
            outputs["visible_prediction"] = ops.cast(projected, "float32")
        return outputs

    def view_loss(self, outputs):
        """MSE on hidden units plus theta times smooth L1 (beta 2) on visible ones."""
        hidden = outputs["prediction"].shape[1]
        mean, scale = self._statistics(outputs["target"])
        target = (outputs["target"] - mean) / scale
        first = target.shape[1] - hidden
        of_hidden = ops.mean(losses.unit_errors(outputs["prediction"], target[:, first:]))
        of_visible = ops.zeros_like(of_hidden)
        if self.projector:
            residual = outputs["visible_prediction"] - target[:, :first]
            of_visible = ops.mean(losses.smooth_l1(residual, beta=2.0))
        total = of_hidden + self.theta * of_visible
        return total, {"loss_hidden": of_hidden, "loss_visible": of_visible}

    def _statistics(self, target):
        if self.target == "hog" and self.whitening == "cell":
            return losses.cell_statistics(target)
        return losses.unit_statistics(target)

    def view_pictures(self, outputs):
        """`originals`, `masked`, `target` and `reconstructions`, each `(B, H, W, C)`.

        HOG features are shown as the strength of the gradients in each cell, in grey.
        """
        units, order, target = outputs["units"], outputs["order"], outputs["target"]
        visible = units.shape[1] - outputs["prediction"].shape[1]
        mean, scale = self._statistics(target[:, visible:])
        hidden = outputs["prediction"] * scale + mean
        predicted = ops.concatenate([target[:, :visible], hidden], axis=1)
        grey = ops.zeros_like(units[:, visible:])
        pictures = {
            "originals": self.ordered_pixels(units, order),
            "masked": self.ordered_pixels(
                ops.concatenate([units[:, :visible], grey], axis=1), order
            ),
        }
        if self.target == "pixels":
            return {**pictures, "reconstructions": self.ordered_pixels(predicted, order)}
        brightest = ops.max(self._strength(target, order), axis=(1, 2, 3), keepdims=True)
        for name, features in (("target", target), ("reconstructions", predicted)):
            strength = self._strength(features, order) / ops.maximum(brightest, 1e-6)
            pictures[name] = ops.clip(strength, 0.0, 1.0) * 255.0
        return pictures

    def _strength(self, features, order):
        """Sum over orientations and channels of HOG features as an image `(B, H, W, C)`."""
        features = take_units(features, ops.argsort(order, axis=-1))
        rows, cols = self.backbone.grid
        side, cell = self.backbone.stride // self.hog_cell, self.hog_cell
        x = ops.reshape(features, (-1, rows, cols, side, side, features.shape[-1] // side**2))
        x = ops.transpose(ops.sum(x, axis=-1), (0, 1, 3, 2, 4))
        x = ops.reshape(x, (-1, rows * side, cols * side, 1))
        x = ops.repeat(ops.repeat(x, cell, axis=1), cell, axis=2)
        return ops.repeat(x, self.backbone.image_shape[-1], axis=3)

    def get_config(self):
        return {
            **super().get_config(),
            "target": self.target,
            "hog_cell": self.hog_cell,
            "whitening": self.whitening,
            "theta": self.theta,
            "prediction_ratio": self.prediction_ratio,
            "projector_dim": self.projector_dim,
        }
