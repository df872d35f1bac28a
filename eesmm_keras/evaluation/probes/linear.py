"""Linear probe: how well a linear classifier does on frozen features."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.features import check_features
from eesmm_keras.evaluation.probe import Probe


class Linear(Probe):
    """Accuracy of a linear classifier on the features; see `linear_probe_accuracy`."""

    title = "linear probe"

    def __init__(self, c=1.0, max_iter=1000):
        self.c, self.max_iter = _checked(c, max_iter)

    def score(self, train_x, train_y, test_x, test_y):
        return linear_probe_accuracy(train_x, train_y, test_x, test_y, self.c, self.max_iter)


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
        UserError: `c` or `max_iter` not positive, features that are not finite, shapes that do not
            match, or a single class.
    """
    c, max_iter = _checked(c, max_iter)
    train_x, train_y, test_x, test_y = check_features(train_x, train_y, test_x, test_y)
    if len(set(train_y.tolist())) < 2:
        raise UserError("A linear probe needs training images of two or more classes, got one.")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=max_iter))
    return float(probe.fit(train_x, train_y).score(test_x, test_y))


def _checked(c, max_iter):
    if not isinstance(c, int | float) or isinstance(c, bool) or not 0 < c < float("inf"):
        raise UserError(f"The linear probe takes a positive number `c`, got {c!r}.")
    if type(max_iter) is not int or max_iter < 1:
        raise UserError(f"The linear probe takes a whole number `max_iter` >= 1, got {max_iter!r}.")
    return c, max_iter
