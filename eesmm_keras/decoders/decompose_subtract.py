from eesmm_keras.ops import losses
from eesmm_keras.ops.mixing import along_axis
from eesmm_keras.ops.targets import PixelTarget


class SubtractSources:
    """A predicted mix less the true other images is an image (EESMM, Eq. 5-6).

    `I_k_hat = (X_hat - sum of the other lambda_j I_j) / lambda_k`, so `I_k_hat - I_k = (X_hat - X) /
    lambda_k`: under a shared mask the source losses are the mixed loss times `sum_k 1 / lambda_k^2`.
    They weight it; they do not teach the decoder to tell the images apart.

    With `norm_pixels` the mix and its sources are normalised by the mean and deviation of the mix.

    Args:
        weights: the n lambdas. norm_pixels: normalise targets per unit. loss: "mse" or "l1".
    """

    def __init__(self, weights, norm_pixels, loss):
        self.weights, self.loss, self.target = weights, loss, PixelTarget(norm_pixels)

    def output_dim(self, pixels):
        """Numbers that the decoder predicts for a unit of so many pixels."""
        return pixels

    def errors(self, prediction, mixed, sources, hidden):
        """Errors of the mix `(M, S)` and of its sources `(M, n, S)`; arguments as in `parts`.

        The errors of the sources follow from that of the mix: `sources` is not called.
        """
        errors = losses.unit_errors(prediction, self.target(mixed), self.loss)
        lambdas = along_axis(self.weights, rank=3)
        return errors, errors[:, None] / (lambdas**2 if self.loss == "mse" else lambdas)

    def parts(self, prediction, mixed, sources, hidden):
        """Targets and predictions in the space of the loss.

        Args:
            prediction: `(M, S, output_dim)`. mixed: `(M, S, P)`, normalised pixels of the mix.
            sources: function that gives those of its sources, `(M, n, S, P)`.
            hidden: `(n, S)`, 1 = hidden in that source.

        Returns:
            dict: `mixed`, `mixed_prediction (M, S, P)`; `sources`, `source_predictions
            (M, n, S, P)`; `mean`, `scale (M, 1, S, 1)`, or numbers: pixels are `target * scale +
            mean`.
        """
        mean, scale = (
            value if isinstance(value, float) else value[:, None]
            for value in self.target.statistics(mixed)
        )
        sources = (sources() - mean) / scale
        return {
            "mixed": self.target(mixed),
            "mixed_prediction": prediction,
            "sources": sources,
            "source_predictions": losses.subtract_sources(prediction, sources, self.weights),
            "mean": mean,
            "scale": scale,
        }
