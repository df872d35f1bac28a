import keras
from keras import ops

from eesmm_keras.methods._visible import VisibleOnlyModel
from eesmm_keras.names import check_choice
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import images_to_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class GreenMIM(VisibleOnlyModel):
    """Masked image modelling on visible tokens only (Huang et al., 2022, GreenMIM).

    One mask for the whole batch, an encoder that sees visible units only (uneven windows packed
    into groups, section 3.2), a light decoder, and the mean squared error on hidden units.

    Args:
        backbone: encoder with `encode_visible`, for example `SwinBackbone`.
        mask_ratio: share of mask units that is hidden.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        loss: "mse" or "l1", over hidden units.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
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
        seed=None,
        **kwargs,
    ):
        super().__init__(
            backbone, mask_ratio, decoder_dim, decoder_depth, decoder_num_heads, mask_bank_size,
            seed=seed, **kwargs,
        )  # fmt: skip
        check_choice("loss", loss, ("mse", "l1"))
        self.norm_pixels, self.loss_kind = norm_pixels, loss
        self.built = True

    def call(self, images, hidden=None, training=False):
        """One pass: images -> mask -> encode (visible) -> decode.

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: optional mask of the caller's choice, `(N,)` or `(1, N)`, 1 = hidden; concrete,
                not traced. None takes a random one.

        Returns:
            dict; N units of P numbers, the visible V first in `order (N,)`: `prediction
            (B, N - V, P)` on the hidden ones; `units (B, N, P)`, normalised pixels in `order`.
        """
        mask, visible = self.pick_mask(hidden)
        units = images_to_units(self.backbone.normalization(images), self.backbone.stride)
        units = ops.take(units, mask["order"], axis=1)
        latent = self.backbone.encode_visible(units[:, :visible], mask["plan"], training=training)
        prediction = self.decoder(
            latent, order=mask["order"], first_scored=visible, training=training
        )
        return {
            "prediction": ops.cast(prediction, "float32"),
            "units": units,
            "order": mask["order"],
        }

    def _target(self, outputs):
        """Targets in the space of the loss, and their mean and scale: each `(B, S, P or 1)`."""
        first = outputs["units"].shape[1] - outputs["prediction"].shape[1]
        target = outputs["units"][:, first:]
        if not self.norm_pixels:
            return target, 0.0, 1.0
        mean, scale = losses.unit_statistics(target)
        return (target - mean) / scale, mean, scale

    def loss_terms(self, outputs):
        """Mean error over hidden units: `(total, {})`."""
        errors = losses.unit_errors(outputs["prediction"], self._target(outputs)[0], self.loss_kind)
        return ops.mean(errors), {}

    def pictures(self, outputs):
        """`originals`, `masked` (grey where hidden), `reconstructions`, each `(B, H, W, C)`."""
        units, order = outputs["units"], outputs["order"]
        visible = units.shape[1] - outputs["prediction"].shape[1]
        _, mean, scale = self._target(outputs)
        shown, hidden = units[:, :visible], outputs["prediction"] * scale + mean
        pictures = {
            "originals": units,
            "masked": ops.concatenate([shown, ops.zeros_like(units[:, visible:])], axis=1),
            "reconstructions": ops.concatenate([shown, hidden], axis=1),
        }
        return {name: self.ordered_pixels(units, order) for name, units in pictures.items()}

    def get_config(self):
        return {**super().get_config(), "norm_pixels": self.norm_pixels, "loss": self.loss_kind}
