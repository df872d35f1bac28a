"""Reconstruction losses over hidden mask units."""

from itertools import permutations

import numpy as np
from keras import ops

from eesmm_keras.device_waits import constant
from eesmm_keras.ops.mixing import along_axis, mix

# Added to a unit's variance before its square root, as in the public MAE code.
VARIANCE_EPSILON = 1e-6


def unit_errors(prediction, target, kind="mse"):
    """Error of each unit, averaged over its pixels: `(..., N, P)` -> `(..., N)`, float32."""
    residual = ops.cast(prediction, "float32") - ops.cast(target, "float32")
    if kind == "mse":
        return ops.mean(ops.square(residual), axis=-1)
    return ops.mean(ops.abs(residual), axis=-1)


def smooth_l1(residual, beta):
    """`r**2 / (2 * beta)` where |r| < beta, else `|r| - beta / 2`, as in PyTorch; any shape."""
    size = ops.abs(residual)
    return ops.where(size < beta, ops.square(residual) / (2 * beta), size - beta / 2)


def masked_mean(errors, hidden):
    """Eq. 7: mean over hidden units. `errors (..., N)`, `hidden (..., N)`, 1 = scored -> `(...)`."""
    hidden = ops.cast(hidden, errors.dtype)
    return ops.sum(errors * hidden, axis=-1) / ops.maximum(ops.sum(hidden, axis=-1), 1.0)


def unit_statistics(units):
    """Mean and standard deviation (unbiased) of each unit: `(..., P)` -> two of `(..., 1)`."""
    mean = ops.mean(units, axis=-1, keepdims=True)
    # Unbiased, like the public MAE and GreenMIM code.
    pixels = units.shape[-1]
    variance = ops.mean(ops.square(units - mean), axis=-1, keepdims=True) * (pixels / (pixels - 1))
    return mean, ops.sqrt(variance + VARIANCE_EPSILON)


def cell_statistics(features, bins=9, epsilon=1e-5):
    """Mean and deviation (biased) of each HOG cell: `(..., P)` -> two of the same shape.

    The `bins` orientations of a cell and channel stand side by side. As in the public DMJD code, whose
    instance whitening is a layer normalisation over them.
    """
    # The number of images may be unknown.
    cells = ops.reshape(features, (*ops.shape(features)[:-1], -1, bins))
    mean = ops.mean(cells, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(cells - mean), axis=-1, keepdims=True)
    shape = ops.shape(features)
    return (
        ops.reshape(ops.broadcast_to(mean, ops.shape(cells)), shape),
        ops.reshape(ops.broadcast_to(ops.sqrt(variance + epsilon), ops.shape(cells)), shape),
    )


def pooled_statistics(sources, mixed, weights):
    """Mean of the mix and the root mean square of its sources about it, per unit.

    All images of a mix share one affine map per unit, so that the normalised sources still mix to
    the normalised mix. Where the mix is flat but its sources are not (black on white), its own
    deviation would blow their targets up; with this scale they stay of order one.

    Args:
        sources: `(M, n, N, P)` pixels. mixed: `(M, N, P)`, their weighted sum.
        weights: the n lambdas.

    Returns:
        `(mean, scale)`, each `(M, N, 1)`.
    """
    mean = ops.mean(mixed, axis=-1, keepdims=True)
    spread = ops.mean(ops.square(sources - mean[:, None]), axis=-1, keepdims=True)
    return mean, ops.sqrt(mix(spread, weights) + VARIANCE_EPSILON)


def subtract_sources(mixed_prediction, sources, weights):
    """Eq. 5-6, for any n: `I_k_hat = (X_hat - sum_{j != k} lambda_j I_j) / lambda_k`.

    Args:
        mixed_prediction: `(M, N, P)`. sources: `(M, n, N, P)`, in the same (normalised) space.

    Returns:
        `(M, n, N, P)`. Algebra: `I_k_hat - I_k = (X_hat - X) / lambda_k`.
    """
    lambdas = along_axis(weights, rank=4)
    weighted = sources * lambdas
    others = ops.sum(weighted, axis=1, keepdims=True) - weighted
    return (mixed_prediction[:, None] - others) / lambdas


def best_assignment(prediction, sources, hidden, kind="mse"):
    """Order the predicted images so that their summed masked error is smallest (per mix).

    Args:
        prediction, sources: `(M, n, N, P)`. hidden: `(n, N)`, 1 = scored for that source.

    Returns:
        `prediction` with its axis 1 permuted: the result does not depend on the order in which
        the network gave the images.
    """
    n = sources.shape[1]
    cost = ops.stack(
        [
            masked_mean(unit_errors(prediction, sources[:, k : k + 1], kind), hidden[k])
            for k in range(n)
        ],
        axis=2,
    )  # (M, prediction i, source k)
    orders = np.array(list(permutations(range(n))))  # orders[p, k]: prediction for source k
    pairs = np.zeros((len(orders), n, n), "float32")
    pairs[np.arange(len(orders))[:, None], orders, np.arange(n)] = 1.0
    pairs = constant(pairs.reshape(len(orders), n * n).T)
    total = ops.matmul(ops.reshape(cost, (-1, n * n)), pairs)
    orders = constant(orders.astype("int32"))
    order = ops.take(orders, ops.argmin(total, axis=1), axis=0)
    return ops.take_along_axis(prediction, order[:, :, None, None], axis=1)


def contrast(first, second, temperature, among=None, place=0):
    """How well two views of an image are told from the views of others (NT-Xent, SimCLR Eq. 1).

    Args:
        first, second: `(B, D)`, unit vectors of the two views.
        temperature: what the cosines are divided by.
        among: two of `(A, D)`, the views of all images that are compared; those of `first` and
            `second` are rows `place` and following. None: these alone.

    Returns:
        scalar, mean over the 2 B views: log of the sum over all other views, less the own other view.
    """
    everyone = ops.concatenate(among or (first, second), axis=0)
    views = ops.concatenate([first, second], axis=0)
    alike = ops.matmul(views, ops.transpose(everyone)) / temperature
    # No view is compared with itself.
    total = ops.shape(everyone)[0]
    rows = ops.arange(ops.shape(first)[0]) + place
    itself = ops.concatenate([rows, rows + total // 2], axis=0)
    alike = alike - 1e9 * ops.one_hot(itself, total, dtype=alike.dtype)
    own = ops.sum(first * second, axis=-1) / temperature
    return ops.mean(ops.logsumexp(alike, axis=-1)) - ops.mean(own)
