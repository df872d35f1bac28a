"""Numbers about a classifier, from what it said and what is true. scikit-learn and SciPy compute."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

BINS = 15


def wilson_interval(right, count, confidence=0.95):
    """Wilson's interval of a share, from `right` of `count`: `(low, high)`."""
    found = binomtest(int(right), int(count)).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def per_class(labels, said, classes):
    """Precision, recall, F1 and number of images of every class, four arrays `(classes,)`.

    Where a class was never said (or never there), its precision (or recall) is 0.
    """
    return precision_recall_fscore_support(labels, said, labels=np.arange(classes), zero_division=0)


def confusions(labels, said, classes):
    """`(classes, classes)`: images by true class (row) and said class (column)."""
    return confusion_matrix(labels, said, labels=np.arange(classes))


def reliability(confidence, right):
    """How often the model is right where it is so sure, in 15 equal steps of confidence.

    Args:
        confidence: `(N,)`, probability of the class that was said. right: bool `(N,)`.

    Returns:
        `(images, mean confidence, share right)`, each `(15,)`; 0 in empty steps.
    """
    step = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(step, minlength=BINS)
    some = np.maximum(images, 1)
    return images, np.bincount(step, confidence, BINS) / some, np.bincount(step, right, BINS) / some


def calibration_error(confidence, right):
    """Expected calibration error (Guo et al. 2017): mean over the images of |confidence - share right|
    of their step, 0..1; see `reliability`."""
    images, sure, correct = reliability(confidence, right)
    return float(np.abs(sure - correct) @ images / images.sum())


def mcnemar(first_right, second_right):
    """McNemar's exact test of two models on the same images.

    Args:
        first_right, second_right: bool `(N,)`.

    Returns:
        `(only_first, only_second, p)`: images that only one of them got right, and the two-sided
        probability of a split at least as uneven if both were equally good.
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    differ = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, differ).pvalue) if differ else 1.0
