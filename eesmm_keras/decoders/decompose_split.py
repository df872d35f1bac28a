from keras import ops

from eesmm_keras.ops import losses
from eesmm_keras.ops.mixing import mix


class SplitSources:
    """The decoder predicts every source, and the loss on each teaches it to (EESMM, section 4.1.1).

    With `norm_pixels` all images of a mix are normalised by one affine map per unit: the mean of the
    mix and the spread of its sources about that mean (the deviation of a flat mix of unlike images
    would blow up).

    Args:
        weights: the n lambdas. norm_pixels: normalise targets per unit. loss: "mse" or "l1".
        assignment: "permutation_invariant" scores the best assignment of predictions to sources in
            each sample (with equal lambdas and a shared mask their order cannot be known), "fixed"
            takes them in order.
    """

    def __init__(self, weights, norm_pixels, loss, assignment):
        self.weights, self.norm_pixels = weights, norm_pixels
        self.loss, self.assignment = loss, assignment

    def output_dim(self, pixels):
        """Numbers that the decoder predicts for a unit of so many pixels."""
        return pixels * len(self.weights)

    def errors(self, prediction, mixed, sources, hidden):
        """Errors of the mix `(M, S)` and of its sources `(M, n, S)`; see `SubtractSources`."""
        parts = self.parts(prediction, mixed, sources, hidden)
        return (
            losses.unit_errors(parts["mixed_prediction"], parts["mixed"], self.loss),
            losses.unit_errors(parts["source_predictions"], parts["sources"], self.loss),
        )

    def parts(self, prediction, mixed, sources, hidden):
        """Targets and predictions in the space of the loss, see `SubtractSources.parts`."""
        sources, mean, scale = sources(), 0.0, 1.0
        if self.norm_pixels:
            mean, scale = losses.pooled_statistics(sources, mixed, self.weights)
            mixed = (mixed - mean) / scale
            mean, scale = mean[:, None], scale[:, None]
            sources = (sources - mean) / scale
        predictions = ops.stack(ops.split(prediction, len(self.weights), axis=-1), axis=1)
        if self.assignment == "permutation_invariant":
            predictions = losses.best_assignment(predictions, sources, hidden, self.loss)
        return {
            "mixed": mixed,
            "mixed_prediction": mix(predictions, self.weights),
            "sources": sources,
            "source_predictions": predictions,
            "mean": mean,
            "scale": scale,
        }
