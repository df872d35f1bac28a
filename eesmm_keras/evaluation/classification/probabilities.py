"""From class scores to probabilities and the most probable classes."""

import numpy as np
from scipy.special import softmax as scipy_softmax


def softmax(logits):
    """Probabilities, float64 `(N, classes)`, of class scores `(N, classes)`."""
    return scipy_softmax(np.asarray(logits, "float64"), axis=-1)


def top_classes(probabilities, count):
    """The `count` most probable classes of every image, the first one first.

    Args:
        probabilities: `(N, classes)`.

    Returns:
        `(numbers, probabilities)`, each `(N, count)`. Of two equal ones, the lower number is first.
    """
    numbers = np.argsort(-probabilities, axis=-1, kind="stable")[:, :count]
    return numbers, np.take_along_axis(probabilities, numbers, axis=-1)
