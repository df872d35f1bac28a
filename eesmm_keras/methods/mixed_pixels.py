from keras import ops

from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import put_units, take_units


class MixedPixels(MaskedImageModel):
    """Methods whose loss is the error on a mix and on each of its sources (EESMM, Eq. 7).

    They set `num_mixed`, `loss_weights` and `decomposer` (see `SubtractSources`). Their `view` returns
    a dict; M mixes, n sources of each, N units of P numbers: `prediction (M, S, P or n * P)` on the
    scored units; `sources (M, n, H, W, C)`, pixels; `mixed (M, N, P)`, normalised pixels; `encoded
    (M, V, P)`, what the encoder saw; `weight (M,)`, 0 where a sample is no mix; `mask`.
    """

    loss_weights = ()
    decomposer = None

    def _scored(self, view):
        """What the decomposition takes: prediction, mix, sources and hidden units, where scored."""
        places = view["mask"].scored
        hidden = ops.take(view["mask"].hidden, places, axis=1)
        return {
            "prediction": view["prediction"],
            "mixed": take_units(view["mixed"], places),
            "sources": lambda: take_units(self.backbone.units_of(view["sources"]), places),
            "hidden": ops.broadcast_to(hidden, (self.num_mixed, hidden.shape[1])),
        }

    def decompose(self, view):
        """Targets and predictions on the scored places, see `SubtractSources.parts`; and `hidden`."""
        scored = self._scored(view)
        return {**self.decomposer.parts(**scored), "hidden": scored["hidden"]}

    def view_loss(self, view):
        """Eq. 7 on the mix and on each source: `(total, {"loss_mixed", "loss_sources"})`.

        The mix is scored where any of its images is hidden, a source where it is hidden itself.
        `loss_sources` is the sum over the sources; the named terms are not weighted.
        """
        scored = self._scored(view)
        mixed, sources = self.decomposer.errors(**scored)
        mixed = losses.masked_mean(mixed, ops.max(scored["hidden"], axis=0))
        sources = losses.masked_mean(sources, scored["hidden"])
        mixed = ops.mean(mixed * view["weight"])
        sources = ops.mean(sources * view["weight"][:, None], axis=0)
        total = self.loss_weights[0] * mixed
        for k, weight in enumerate(self.loss_weights[1:]):
            total = total + weight * sources[k]
        return total, {"loss_mixed": mixed, "loss_sources": ops.sum(sources)}

    def view_pictures(self, view):
        """What a person wants to see, pixel values 0..255 in float32.

        Returns:
            dict: `originals (M, n, H, W, C)`, the sources as the model got them; `mixed (M, H, W,
            C)`; `masked`, what the encoder sees, grey where nothing; `mixed_reconstruction`, the
            prediction where the mix is scored, the mix elsewhere; `reconstructions (M, n, H, W,
            C)`, the decomposed predictions where a source is hidden, the source elsewhere.
        """
        mask, mixed, parts = view["mask"], view["mixed"][:, None], self.decompose(view)
        sources, count = self.backbone.units_of(view["sources"]), mixed.shape[2]

        def filled(prediction, original, hidden):
            pixels = prediction * parts["scale"] + parts["mean"]
            hidden = ops.expand_dims(hidden, -1)
            return put_units(pixels, mask.scored, count) * hidden + original * (1 - hidden)

        mix_hidden = ops.max(mask.hidden, axis=0, keepdims=True)
        pictures = {
            "originals": sources,
            "mixed": mixed[:, 0],
            "masked": put_units(view["encoded"], mask.visible, count),
            "mixed_reconstruction": filled(parts["mixed_prediction"][:, None], mixed, mix_hidden)[
                :, 0
            ],
            "reconstructions": filled(parts["source_predictions"], sources, mask.hidden),
        }
        return {name: self.to_pixels(units) for name, units in pictures.items()}
