import keras
from keras import ops

from eesmm_keras.checks import check_choice
from eesmm_keras.methods._visible import VisibleOnlyModel
from eesmm_keras.ops import losses
from eesmm_keras.ops.mixing import (
    along_axis,
    check_mix_weights,
    group_images,
    leave_some_unmixed,
    mix,
    two_views,
)
from eesmm_keras.ops.patches import images_to_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class EESMM(VisibleOnlyModel):
    """Masked image modelling with mixed images (Kang et al., 2025).

    `num_mixed` images are averaged into one (Algorithm 1), most mask units are hidden, the encoder
    sees the visible units only, a light decoder rebuilds the mix at the hidden ones, and the mix is
    decomposed into its sources (Eq. 4-6). The loss is Eq. 7 on the mix and on each source.

    What decomposition does. With `"subtract"` (Eq. 5-6, as printed), `I_k_hat = (X_hat - sum of the
    other lambda_j I_j) / lambda_k` uses the true other images, so `I_k_hat - I_k = (X_hat - X) /
    lambda_k`: under a shared mask the source losses are the mixed loss times `sum_k 1 / lambda_k^2`.
    They weight it; they do not teach the decoder to tell the images apart. With `"split"` (section
    4.1.1) the head predicts every source, and the loss on each does teach that.

    Targets are pixels; with `norm_pixels` normalised per unit by one affine map that all images of a
    mix share, so that the normalised sources still add up to the normalised mix: the mean of the mix,
    and its standard deviation ("subtract") or the spread of its sources about that mean ("split", where
    the deviation of a flat mix of unlike images would blow up).

    A batch is cut into mixes of neighbouring images. If its size is not a multiple of `num_mixed`, the
    last mix is filled up with the batch's first images: none is dropped, none is mixed with itself.
    A batch with fewer than `num_mixed` images is an error; where its size is known only at run time
    (the last batch of a TensorFlow dataset), its loss is 0.

    Args:
        backbone: encoder with `encode_visible`, for example `SwinBackbone`.
        mask_ratio: share of mask units that is hidden, rounded up (0.75; the paper's ablation: 0.70).
        num_mixed: images in a mix, n >= 2.
        mix_weights: the n lambdas, positive, sum 1; None gives 1/n each.
        mixing: "mean" (Algorithm 1), or "views": each source is the average of two views of its image
            (Eq. 3 with weights normalised), rotation and flip or scale and crop, and so is its target.
        mask_sharing: "shared", one mask for the images of a mix; or "independent", one for each
            (Eq. 1-2 with M1 != M2): a unit is encoded if it is visible in any of them, and holds
            the images that are visible there. Every mask serves the whole batch.
        decomposition: "subtract" or "split", see above.
        assignment: for "split": "permutation_invariant" scores the best assignment of predictions to
            sources in each sample (with equal lambdas and a shared mask their order cannot be
            known), "fixed" takes them in order.
        norm_pixels: normalise targets per unit.
        decoder_dim, decoder_depth, decoder_num_heads: the decoder's transformer.
        loss: "mse" (Eq. 7) or "l1" (the paper's ablation setup), over hidden pixels.
        loss_weights: weights of the mixed loss and of each source's loss, `1 + num_mixed` numbers;
            None is all ones, `(1, 1, 1)` for two images.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        unmixed_share: share of the samples, in [0, 1], that hold one image alone while training (the
            first one of the mix stands for all of them).
        num_views: masked views of each mix in a step, hidden sets disjoint (DMJD).
        block_size: units are hidden in squares of this side.
        seed: int; None draws one.

    Example:
        >>> model = EESMM(SwinBackbone.from_preset("swin_mini_32"))
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> model.fit(np.random.randint(0, 256, (64, 32, 32, 3), "uint8"))
    """

    def __init__(
        self,
        backbone,
        mask_ratio=0.75,
        num_mixed=2,
        mix_weights=None,
        mixing="mean",
        mask_sharing="shared",
        decomposition="subtract",
        assignment="permutation_invariant",
        norm_pixels=True,
        decoder_dim=512,
        decoder_depth=1,
        decoder_num_heads=16,
        loss="mse",
        loss_weights=None,
        mask_bank_size=256,
        unmixed_share=0.0,
        num_views=1,
        block_size=1,
        seed=None,
        **kwargs,
    ):
        if not 0 <= unmixed_share <= 1:
            raise ValueError(f"unmixed_share must lie in [0, 1], got {unmixed_share}.")
        if num_mixed < 2:
            raise ValueError(f"num_mixed must be at least 2 images, got {num_mixed}.")
        check_choice("mixing", mixing, ("mean", "views"))
        check_choice("mask_sharing", mask_sharing, ("shared", "independent"))
        check_choice("decomposition", decomposition, ("subtract", "split"))
        check_choice("assignment", assignment, ("permutation_invariant", "fixed"))
        check_choice("loss", loss, ("mse", "l1"))
        split = decomposition == "split"
        pixels = backbone.stride**2 * backbone.image_shape[-1]
        super().__init__(
            backbone, mask_ratio, num_views=num_views, block_size=block_size,
            decoder_dim=decoder_dim, decoder_depth=decoder_depth,
            decoder_num_heads=decoder_num_heads, mask_bank_size=mask_bank_size,
            num_masks=1 if mask_sharing == "shared" else num_mixed,
            output_dim=pixels * num_mixed if split else pixels,
            loss_names=("loss_mixed", "loss_sources"), seed=seed, **kwargs,
        )  # fmt: skip
        self.num_mixed = self.images_per_sample = num_mixed
        self.mix_weights = check_mix_weights(mix_weights, num_mixed)
        self.mixing, self.mask_sharing = mixing, mask_sharing
        self.decomposition, self.assignment = decomposition, assignment
        self.norm_pixels = norm_pixels
        self.loss_kind = loss
        self.unmixed_share = unmixed_share
        self.loss_weights = _check_loss_weights(loss_weights, num_mixed)
        self.view_seeds = keras.random.SeedGenerator(self.seed + 1)
        self.built = True

    @classmethod
    def images_in_sample(cls, arguments):
        return arguments.get("num_mixed", 2)

    def view(self, images, mask, visible, training):
        """One masked view: images -> two views of each -> mix -> encode (visible) -> decode.

        Returns:
            dict; M = ceil(B / num_mixed) mixes, N units of P numbers, the visible V first:
            `prediction (M, S, P or n * P)` on the S scored places (the last S of `order`);
            `sources (M, n, H, W, C)`, pixels; `mixed (M, N, P)`, normalised pixels in `order`;
            `hidden (n, N)`, 1 = hidden in that source, in `order`; `order (N,)`;
            `encoded (M, V, P)`, what the encoder saw; `weight (M,)`, 0 where a sample is no mix.
        """
        hidden = self._hidden_rows(mask)
        sources = group_images(ops.cast(images, "float32"), self.num_mixed)
        if training and self.unmixed_share:
            sources = leave_some_unmixed(sources, self.unmixed_share, self.view_seeds)
        if self.mixing == "views":
            sources = self._two_views(sources)
        # Normalisation is linear: that of the mix is the mix of the normalised sources.
        mixed = self._units(mix(sources, self.mix_weights), mask["order"])
        encoded = mixed[:, :visible]
        if self.mask_sharing == "independent":
            shown = self._units(sources, mask["order"][:visible])
            shown = shown * (1 - hidden)[None, :, :visible, None]
            encoded = mix(shown, self.mix_weights)

        latent = self.backbone.encode_visible(encoded, mask["plan"], training=training)
        # Under independent masks an encoded unit is still hidden in some source.
        first_scored = visible if self.mask_sharing == "shared" else 0
        prediction = self.decoder(
            latent, order=mask["order"], first_scored=first_scored, training=training
        )
        return {
            "prediction": ops.cast(prediction, "float32"),
            "sources": sources,
            "mixed": mixed,
            "encoded": encoded,
            "hidden": hidden,
            "order": mask["order"],
            "weight": _is_mix(images, mixed, self.num_mixed),
        }

    def _units(self, images, order):
        """Pixel images `(..., H, W, C)` -> normalised units `(..., len(order), P)` in `order`."""
        pixels = self.backbone.normalization(ops.reshape(images, (-1, *images.shape[-3:])))
        units = ops.take(images_to_units(pixels, self.backbone.stride), order, axis=1)
        return ops.reshape(units, (-1, *images.shape[1:-3], *units.shape[1:]))

    def _hidden_rows(self, mask):
        """`(n, N)` in `order`: which units are hidden in each source."""
        rows = ops.cast(ops.take(mask["hidden"], mask["order"], axis=1), "float32")
        return ops.broadcast_to(rows, (self.num_mixed, self.mask_bank.num_units))

    def _two_views(self, sources):
        views = [
            two_views(sources[:, k], self.view_seeds, even=k % 2 == 0)
            for k in range(self.num_mixed)
        ]
        return ops.stack(views, axis=1)

    def _mixed_target(self, outputs, sources=None):
        """The mix on the scored places: `(mixed, hidden, mean, scale)`.

        With `norm_pixels` normalised by itself or, if given, by the spread of its `sources`.
        """
        first = outputs["order"].shape[0] - outputs["prediction"].shape[1]
        mixed, hidden = outputs["mixed"][:, first:], outputs["hidden"][:, first:]
        if not self.norm_pixels:
            return mixed, hidden, ops.zeros_like(mixed[..., :1]), ops.ones_like(mixed[..., :1])
        if sources is None:
            mean, scale = losses.unit_statistics(mixed)
        else:
            mean, scale = losses.pooled_statistics(sources, mixed, self.mix_weights)
        return (mixed - mean) / scale, hidden, mean, scale

    def decompose(self, outputs):
        """Targets and predictions on the scored places, in the space of the loss.

        Returns:
            dict: `mixed`, `mixed_prediction (M, S, P)`; `sources`, `source_predictions
            (M, n, S, P)`; `hidden (n, S)`; `mean`, `scale (M, S, 1)`: normalised pixels are
            `target * scale + mean`.
        """
        prediction = outputs["prediction"]
        first = outputs["order"].shape[0] - prediction.shape[1]
        sources = self._units(outputs["sources"], outputs["order"][first:])
        split = self.decomposition == "split"
        mixed, hidden, mean, scale = self._mixed_target(outputs, sources if split else None)
        sources = (sources - mean[:, None]) / scale[:, None]
        if self.decomposition == "subtract":
            mixed_prediction = prediction
            predictions = losses.subtract_sources(prediction, sources, self.mix_weights)
        else:
            predictions = ops.stack(ops.split(prediction, self.num_mixed, axis=-1), axis=1)
            if self.assignment == "permutation_invariant":
                predictions = losses.best_assignment(predictions, sources, hidden, self.loss_kind)
            mixed_prediction = mix(predictions, self.mix_weights)
        return {
            "mixed": mixed,
            "mixed_prediction": mixed_prediction,
            "sources": sources,
            "source_predictions": predictions,
            "hidden": hidden,
            "mean": mean,
            "scale": scale,
        }

    def view_loss(self, outputs):
        """Eq. 7 on the mix and on each source: `(total, {"loss_mixed", "loss_sources"})`.

        The mix is scored where any of its images is hidden, a source where it is hidden itself.
        `loss_sources` is the sum over the sources; the named terms are not weighted.
        """
        kind = self.loss_kind
        if self.decomposition == "subtract":
            # `I_k_hat - I_k = (X_hat - X) / lambda_k`: the errors of the sources follow from that of
            # the mix, and the sources are never cut into units. `decompose` has Eq. 5-6 as printed.
            mixed, hidden, _, _ = self._mixed_target(outputs)
            mixed_errors = losses.unit_errors(outputs["prediction"], mixed, kind)
            lambdas = along_axis(self.mix_weights, rank=3)
            errors = mixed_errors[:, None] / (lambdas**2 if kind == "mse" else lambdas)
        else:
            parts = self.decompose(outputs)
            hidden = parts["hidden"]
            mixed_errors = losses.unit_errors(parts["mixed_prediction"], parts["mixed"], kind)
            errors = losses.unit_errors(parts["source_predictions"], parts["sources"], kind)
        mixed = losses.masked_mean(mixed_errors, ops.max(hidden, axis=0))
        sources = losses.masked_mean(errors, hidden)
        mixed = ops.mean(mixed * outputs["weight"])
        sources = ops.mean(sources * outputs["weight"][:, None], axis=0)
        total = self.loss_weights[0] * mixed
        for k, weight in enumerate(self.loss_weights[1:]):
            total = total + weight * sources[k]
        return total, {"loss_mixed": mixed, "loss_sources": ops.sum(sources)}

    def view_pictures(self, outputs):
        """What a person wants to see, pixel values 0..255 in float32.

        Returns:
            dict: `originals (M, n, H, W, C)`, the sources as the model got them; `mixed (M, H, W,
            C)`; `masked`, what the encoder sees, grey where nothing; `mixed_reconstruction`, the
            prediction where the mix is scored, the mix elsewhere; `reconstructions (M, n, H, W,
            C)`, the decomposed predictions where a source is hidden, the source elsewhere.
        """
        parts = self.decompose(outputs)
        units = self._units(outputs["sources"], outputs["order"])
        mean, scale = parts["mean"], parts["scale"]
        hidden, count = outputs["hidden"], outputs["prediction"].shape[1]
        visible = outputs["encoded"].shape[1]

        def fill(prediction, original, scored):
            """Prediction on the last `count` places where `scored`, original pixels elsewhere."""
            first = original.shape[-2] - count
            scored = ops.expand_dims(scored[..., first:], -1)
            last = scored * prediction + (1 - scored) * original[..., first:, :]
            return ops.concatenate([original[..., :first, :], last], axis=-2)

        def image(units):
            return self.ordered_pixels(units, outputs["order"])

        grey = ops.zeros_like(outputs["mixed"][:, visible:])
        return {
            "originals": image(units),
            "mixed": image(outputs["mixed"]),
            "masked": image(ops.concatenate([outputs["encoded"], grey], axis=1)),
            "mixed_reconstruction": image(
                fill(
                    parts["mixed_prediction"] * scale + mean,
                    outputs["mixed"],
                    ops.max(hidden, axis=0),
                )
            ),
            "reconstructions": image(
                fill(
                    parts["source_predictions"] * scale[:, None] + mean[:, None],
                    units,
                    hidden,
                )
            ),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "num_mixed": self.num_mixed,
            "mix_weights": list(self.mix_weights),
            "mixing": self.mixing,
            "mask_sharing": self.mask_sharing,
            "decomposition": self.decomposition,
            "assignment": self.assignment,
            "norm_pixels": self.norm_pixels,
            "loss": self.loss_kind,
            "loss_weights": list(self.loss_weights),
            "unmixed_share": self.unmixed_share,
        }


def _is_mix(images, mixed, num_mixed):
    """`(M,)` ones, or zeros if the batch was too small to mix (known at run time only)."""
    batch = images.shape[0]
    if batch is None:
        enough = ops.cast(ops.shape(images)[0] >= num_mixed, "float32")
        return ops.ones_like(mixed[:, 0, 0]) * enough
    if batch < num_mixed:
        raise ValueError(
            f"A batch of {batch} images cannot be mixed by num_mixed={num_mixed}. Use larger "
            "batches, or drop the remainder of the dataset."
        )
    return ops.ones_like(mixed[:, 0, 0])


def _check_loss_weights(loss_weights, num_mixed):
    if loss_weights is None:
        return (1.0,) * (num_mixed + 1)
    weights = tuple(float(weight) for weight in loss_weights)
    if len(weights) != num_mixed + 1 or min(weights) < 0 or max(weights) == 0:
        raise ValueError(
            f"loss_weights needs {num_mixed + 1} numbers >= 0 for num_mixed={num_mixed} (the mix, "
            f"then each source), not all zero; got {tuple(loss_weights)}."
        )
    return weights
