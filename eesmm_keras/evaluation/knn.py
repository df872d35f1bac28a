"""Weighted k-nearest-neighbour accuracy of frozen features."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from eesmm_keras.evaluation.features import check_features

TEMPERATURE = 0.07


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
        ValueError: `k` below 1, or shapes that do not match.
    """
    if k < 1:
        raise ValueError(f"Expected `k` of at least 1, received: {k}")
    train_x, train_y, test_x, test_y = check_features(train_x, train_y, test_x, test_y)
    classifier = KNeighborsClassifier(
        n_neighbors=min(k, len(train_x)),
        metric="cosine",
        algorithm="brute",
        weights=_vote_weights,
    )
    return float(classifier.fit(train_x, train_y).score(test_x, test_y))


def _vote_weights(cosine_distance):
    """exp(s / 0.07) up to the constant exp(1 / 0.07), since the distance is 1 - s."""
    return np.exp(-cosine_distance / TEMPERATURE)
