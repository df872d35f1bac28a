"""Images that are nearly the same, by the cosine of their vectors: exact, all pairs."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from eesmm_keras.progress import track

_ROWS = 2048
# Pairs that are remembered before they are condensed to groups.
_PAIRS = 4_000_000
# The cosine of a vector with itself misses 1 by this at most.
_ROUNDING = 1e-6


def near_duplicates(vectors, threshold):
    """Groups of vectors that hang together by pairs with a cosine of at least `threshold`.

    Every pair is looked at once, in blocks of float32 products (scikit-learn's search within a radius
    looks at each twice, in float64). Beside the vectors it takes some 100 MB.

    Args:
        vectors: float32 `(N, D)`, of length 1.
        threshold: cosine, -1..1.

    Returns:
        `(groups, best)`: list of int arrays of two or more numbers, the largest group first; and
        `(N,)` the largest cosine of each vector with another one of its group.
    """
    count = len(vectors)
    best = np.full(count, -np.inf, np.float32)
    edges, waiting = [], 0
    blocks = [(i, j) for i in range(0, count, _ROWS) for j in range(i, count, _ROWS)]
    shown = ((range(_ROWS), block) for block in blocks)
    for _, (i, j) in track(shown, len(blocks) * _ROWS, "comparing blocks of"):
        left, right, cosines = _pairs(vectors, i, j, threshold)
        np.maximum.at(best, left, cosines)
        np.maximum.at(best, right, cosines)
        edges.append((left, right))
        waiting += len(left)
        if waiting > _PAIRS:
            edges, waiting = [_spanning(_labels(edges, count))], 0
    labels = _labels(edges, count)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted((g for g in groups if len(g) > 1), key=lambda g: (-len(g), g[0])), best


def _pairs(vectors, i, j, threshold):
    cosines = vectors[i : i + _ROWS] @ vectors[j : j + _ROWS].T
    # So it is in nearly all blocks, and it is quicker than to look for some.
    if cosines.max() < threshold - _ROUNDING:
        return tuple(np.zeros(0, kind) for kind in (np.int64, np.int64, np.float32))
    found = np.flatnonzero(cosines >= threshold - _ROUNDING)
    left, right = np.divmod(found, cosines.shape[1])
    if i == j:
        once = left < right
        found, left, right = found[once], left[once], right[once]
    return left + i, right + j, cosines.ravel()[found]


def _labels(edges, count):
    """Number of the group of each vector."""
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _spanning(labels):
    """As few pairs as make the same groups."""
    _, first = np.unique(labels, return_index=True)
    return np.arange(len(labels)), first[labels]
