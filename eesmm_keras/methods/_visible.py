import keras
import numpy as np
from keras import ops

from eesmm_keras.checks import check_choice
from eesmm_keras.decoders.transformer_decoder import TransformerDecoder
from eesmm_keras.layers.mask_bank import MaskBank
from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses, masking
from eesmm_keras.ops.patches import images_to_units
from eesmm_keras.parallel import draw_rows


class VisibleOnlyModel(MaskedImageModel):
    """What methods share whose encoder sees visible mask units only, with one mask a batch.

    Masks come from a `MaskBank`, a light transformer decoder predicts the hidden units. With several
    views (disjoint masking, DMJD) an image is masked several times in a step, each unit hidden in as
    few of them as the ratio allows, and the loss is the mean over the views.

    A method defines `view(images, mask, visible, training)`, the outputs of one masked view, and
    `view_loss(outputs)` and `view_pictures(outputs)` of these.

    Args:
        backbone: encoder with `encode_visible`.
        mask_ratio: share of mask units that is hidden, rounded up to whole units.
        num_views, block_size, prediction_ratio: of the sampler, see `MaskSampler`.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        mask_bank_size: number of masks drawn ahead.
        num_masks: independent masks a sample.
        output_dim: numbers predicted a unit; None: its pixels.
        loss_names, seed: see `MaskedImageModel`.
    """

    def __init__(
        self, backbone, mask_ratio, num_views=1, block_size=1, decoder_dim=512, decoder_depth=1,
        decoder_num_heads=16, mask_bank_size=256, num_masks=1, prediction_ratio=1.0,
        output_dim=None, loss_names=(), seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, loss_names, seed, **kwargs)
        if decoder_depth < 1:
            raise ValueError(
                f"decoder_depth must be at least 1, got {decoder_depth}: a visible-only encoder "
                "gives a linear head nothing to predict hidden units from."
            )
        self.mask_ratio, self.num_views, self.block_size = mask_ratio, num_views, block_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.mask_bank_size = mask_bank_size
        self.sampler = masking.MaskSampler(
            tuple(backbone.grid), mask_ratio, num_masks, num_views, prediction_ratio, block_size
        )
        self.mask_bank = MaskBank(
            backbone.planner, self.sampler, mask_bank_size, seed=self.seed, name="mask_bank"
        )
        self.decoder = TransformerDecoder(
            backbone.grid, output_dim or self.unit_pixels, decoder_dim, decoder_depth,
            decoder_num_heads, num_prefix=getattr(backbone, "num_prefix_tokens", 0), name="decoder",
        )  # fmt: skip
        self.mask_bank.build()
        self.decoder.build((None, None, backbone.num_features))

    @property
    def derived_variables(self):
        return (self.mask_bank.table,)

    # === What a method defines ===

    def view(self, images, mask, visible, training):
        raise NotImplementedError

    def view_loss(self, outputs):
        raise NotImplementedError

    def view_pictures(self, outputs):
        raise NotImplementedError

    # === Views ===

    def call(self, images, hidden=None, training=False):
        """All views: images -> mask -> encode (visible) -> decode.

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: optional masks of the caller's choice, `(N,)` or `(num_masks, N)`, or with several
                views `(num_views, N)`, 1 = hidden; concrete, not traced. None takes random ones.

        Returns:
            the outputs of `view`, or with several views `{"view_0": outputs, "view_1": ...}`.
        """
        views = [
            self.view(images, mask, visible, training)
            for mask, visible in self.pick_masks(images, hidden)
        ]
        if len(views) == 1:
            return views[0]
        return {f"view_{number}": view for number, view in enumerate(views)}

    def _views(self, outputs):
        return [outputs] if self.num_views == 1 else list(outputs.values())

    def loss_terms(self, outputs):
        """Mean over the views of `view_loss`: `(total, {name: term})`."""
        losses_of_views = [self.view_loss(view) for view in self._views(outputs)]
        return keras.tree.map_structure(lambda *values: sum(values) / len(values), *losses_of_views)

    def pictures(self, outputs):
        """Those of the first view."""
        return self.view_pictures(self._views(outputs)[0])

    def pick_masks(self, images, hidden=None):
        """Masks of a step, a list with one `({"hidden", "order", "plan"}, V)` a view.

        V is the number of visible units; `images` and `hidden` as in `call`.
        """
        if hidden is None:
            return [(view, self.mask_bank.num_visible) for view in self.mask_bank.draw()]
        hidden = ops.convert_to_numpy(hidden)
        views = hidden.reshape(self.num_views, -1, self.mask_bank.num_units)
        return [(self.mask_bank.plan(view), masking.unit_order(view)[1]) for view in views]

    def sample_hidden(self, seed):
        """Masks from a seed: `(num_masks, N)` or `(num_views, N)`, 1 = hidden."""
        masks = self.sampler(np.random.default_rng(seed))
        return masks.reshape(-1, self.mask_bank.num_units)

    def ordered_pixels(self, units, order):
        """Units `(..., N, P)` that stand in `order` as pixel images, see `to_pixels`."""
        return self.to_pixels(take_units(units, ops.argsort(order, axis=-1)))

    def get_config(self):
        return {
            **super().get_config(),
            "mask_ratio": self.mask_ratio,
            "num_views": self.num_views,
            "block_size": self.block_size,
            "decoder_dim": self.decoder_dim,
            "decoder_depth": self.decoder_depth,
            "decoder_num_heads": self.decoder_num_heads,
            "mask_bank_size": self.mask_bank_size,
        }


def take_units(units, order):
    """Units `(..., N, P)` in another order: `(N,)`, or one a sample `(B, N)`."""
    if len(order.shape) == 1:
        return ops.take(units, order, axis=-2)
    return ops.take_along_axis(units, order[:, :, None], axis=1)


class MaskedAutoencoder(VisibleOnlyModel):
    """An encoder of visible units, a light decoder, and the error on hidden units of one image.

    Args:
        mask_sharing: "batch", one mask for all images of a batch (from the bank); or "image", one
            each, which needs an encoder with global attention.
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        loss: "mse" or "l1".
        Others: see `VisibleOnlyModel`.
    """

    def __init__(self, backbone, mask_ratio, mask_sharing, norm_pixels, loss, **kwargs):
        super().__init__(backbone, mask_ratio, **kwargs)
        check_choice("loss", loss, ("mse", "l1"))
        check_choice("mask_sharing", mask_sharing, ("batch", "image"))
        if mask_sharing == "image" and self.block_size > 1:
            raise ValueError(
                'block_size > 1 needs mask_sharing="batch": blocks come from the bank.'
            )
        if mask_sharing == "image" and not getattr(backbone, "per_image_masks", False):
            raise ValueError(
                f"{type(backbone).__name__} encodes visible units under one mask for the whole "
                'batch only: take mask_sharing="batch", or a ViTBackbone.'
            )
        self.norm_pixels, self.loss_kind, self.mask_sharing = norm_pixels, loss, mask_sharing
        self.mask_seeds = keras.random.SeedGenerator(self.seed + 1)
        self.built = True

    def view(self, images, mask, visible, training):
        """One masked view: images -> encode (visible) -> decode.

        Returns:
            dict; N units of P numbers, the visible V first in `order`, `(N,)` or `(B, N)`:
            `prediction (B, N - V, P)` on the hidden ones; `units (B, N, P)`, normalised pixels in
            `order`.
        """
        units = images_to_units(self.backbone.normalization(images), self.backbone.stride)
        units = take_units(units, mask["order"])
        latent = self.backbone.encode_visible(units[:, :visible], mask["plan"], training=training)
        prediction = self.decoder(
            latent, order=mask["order"], first_scored=visible, training=training
        )
        return {
            "prediction": ops.cast(prediction, "float32"),
            "units": units,
            "order": mask["order"],
        }

    def pick_masks(self, images, hidden=None):
        """Masks of a step: one for the batch, or one an image; see `VisibleOnlyModel`."""
        if self.mask_sharing == "batch":
            return super().pick_masks(images, hidden)
        count, total = ops.shape(images)[0], self.mask_bank.num_units
        if hidden is not None:
            views = ops.convert_to_numpy(hidden).reshape(self.num_views, -1, total)
            orders = [masking.unit_orders(view) for view in views]
            visible = orders[0][1]
            orders = [
                ops.broadcast_to(ops.convert_to_tensor(order), (count, total))
                for order, _ in orders
            ]
        else:
            visible = self.mask_bank.num_visible
            noise = draw_rows(
                lambda rows: keras.random.uniform((rows, total), seed=self.mask_seeds), count
            )
            # View k hides the next N - V units of one random order, round and round: disjoint.
            order = ops.argsort(noise, axis=1)
            orders = [
                ops.roll(order, -(k + 1) * (total - visible), axis=1) for k in range(self.num_views)
            ]
        return [
            ({"order": order, "plan": {"units": order[:, :visible]}}, visible) for order in orders
        ]

    def _target(self, outputs):
        """Targets in the space of the loss, and their mean and scale: each `(B, S, P or 1)`."""
        first = outputs["units"].shape[1] - outputs["prediction"].shape[1]
        target = outputs["units"][:, first:]
        if not self.norm_pixels:
            return target, 0.0, 1.0
        mean, scale = losses.unit_statistics(target)
        return (target - mean) / scale, mean, scale

    def view_loss(self, outputs):
        """Mean error over hidden units: `(total, {})`."""
        errors = losses.unit_errors(outputs["prediction"], self._target(outputs)[0], self.loss_kind)
        return ops.mean(errors), {}

    def view_pictures(self, outputs):
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
