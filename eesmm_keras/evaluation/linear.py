"""Linear probe: how well a linear classifier does on frozen features."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eesmm_keras.evaluation.features import check_features


def linear_probe_accuracy(train_x, train_y, test_x, test_y, c=1.0, max_iter=1000):
    """Share of test images that a logistic regression on the features gets right.

    The features are standardised first: mean and deviation of the training set, which plays the
    part of the batch normalisation that MAE (He et al. 2022, appendix A.1) puts before its probe.

    Args:
        train_x, test_x: features `(N, C)`.
        train_y, test_y: class labels `(N,)`; at least two classes in training.
        c: inverse strength of the L2 penalty; smaller is stronger.
        max_iter: largest number of L-BFGS steps.

    Returns:
        Accuracy, 0 to 1.

    Raises:
        ValueError: shapes that do not match, or a single class.
    """
    train_x, train_y, test_x, test_y = check_features(train_x, train_y, test_x, test_y)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=max_iter))
    return float(probe.fit(train_x, train_y).score(test_x, test_y))
