"""In how many directions features lie."""

import numpy as np


def effective_rank(features):
    """Effective rank (Roy and Vetterli 2007) of features about their mean: exp of the entropy of their
    singular values, taken as shares.

    Args:
        features: `(N, C)`.

    Returns:
        float from 1 (all in one direction) to min(N, C); 0 where all are the same.
    """
    centred = np.asarray(features, "float64")
    centred = centred - centred.mean(axis=0)
    values = np.sqrt(np.clip(np.linalg.eigvalsh(centred.T @ centred), 0, None))
    if values.sum() <= 1e-9 * max(np.abs(features).max(), 1e-30):
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
