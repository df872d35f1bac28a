"""The contract of a probe: a number that tells how good frozen features are."""


class Probe:
    """Fits something small on the features of labelled images, and measures it on others.

    The member NAME of the family is `evaluation/probes/NAME.py`, or a plug-in `probes/NAME.py`. The
    arguments of its constructor, all of which have defaults, are what stands behind the name:
    `--mode knn:k=5`. A bad one raises a UserError.

    Attributes:
        title: what the number is called on the screen.
    """

    title = ""

    def score(self, train_x, train_y, test_x, test_y):
        """The number, 0 to 1, higher is better.

        Args:
            train_x, test_x: features, float arrays `(N, C)`.
            train_y, test_y: class labels, int arrays `(N,)`.

        Raises:
            UserError: features that cannot be probed, see `features.check_features`.
        """
        raise NotImplementedError
