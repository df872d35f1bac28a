"""Weighted k-nearest-neighbour accuracy of frozen features."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.features import check_features
from eesmm_keras.evaluation.probe import Probe

TEMPERATURE = 0.07


class Knn(Probe):
    """Accuracy of the votes of the k nearest training images; see `knn_accuracy`."""

    def __init__(self, k=20):
        self.k = _checked(k)

    @property
    def title(self):
        return f"kNN accuracy (k={self.k})"

    def score(self, train_x, train_y, test_x, test_y):
        return knn_accuracy(train_x, train_y, test_x, test_y, self.k)


def knn_accuracy(train_x, train_y, test_x, test_y, k=20):
    """Share of test images whose nearest training images vote for the right class.

    The protocol of Wu et al. 2018 (Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination, section 3.4), as used by DINO: cosine similarity s, each of the k nearest
    votes with weight exp(s / 0.07). It has nothing to tune, so it compares encoders fairly.

    Args:
        train_x, test_x: features `(N, C)`.
        train_y, test_y: class labels `(N,)`.
        k: number of neighbours; 20 as in DINO. With fewer training images all of them vote.

    Returns:
        Accuracy, 0 to 1.

    Raises:
        UserError: `k` below 1, features that are not finite, or shapes that do not match.
    """
    k = _checked(k)
    train_x, train_y, test_x, test_y = check_features(train_x, train_y, test_x, test_y)
    classifier = KNeighborsClassifier(
        n_neighbors=min(k, len(train_x)),
        metric="cosine",
        algorithm="brute",
        weights=_vote_weights,
    )
    return float(classifier.fit(train_x, train_y).score(test_x, test_y))


def _checked(k):
    if type(k) is not int or k < 1:
        raise UserError(f"kNN takes a whole number `k` of at least 1, got {k!r}.")
    return k


def _vote_weights(cosine_distance):
    """exp(s / 0.07) up to the constant exp(1 / 0.07), since the distance is 1 - s."""
    return np.exp(-cosine_distance / TEMPERATURE)
