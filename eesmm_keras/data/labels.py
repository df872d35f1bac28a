"""The contract of labels: what is known of every image of a source, and how it is shown with it."""

import numpy as np

CLASSES, MASKS, BOXES = "classes", "masks", "boxes"
# How kinds of labels are called, and where a user finds what they look like on a disk.
IN_WORDS = {
    CLASSES: "a class for each image (one folder per class, see eesmm docs data)",
    MASKS: "a mask for each image (images/, masks/ and classes.json, see eesmm docs segmentation)",
    BOXES: "boxes for each image (images/ and annotations.json of COCO, see eesmm docs detection)",
}


class Labels:
    """One label for each image of a source. Safe to use from several threads.

    Attributes:
        kind: a key of `IN_WORDS`; a task says which it learns from.
        exact: whether a label lies on the pixels of the image: it is decoded in its full size then.
        dtype: NumPy's name of the numbers of a label that is shown.
    """

    kind = ""
    exact = False
    dtype = "int64"

    def take(self, indices):
        """The labels of some of the images, in the order of `indices`, an int array."""
        raise NotImplementedError

    def read(self, i, picture):
        """The label of image `i`, which has `(width, height)` pixels.

        Raises:
            DataError: it cannot be read, or is not of such an image.
        """
        raise NotImplementedError

    def at(self, indices):
        """Labels of images as they are, for a score: class numbers `(B,)`, or a list of masks or
        of `boxes.Truth`."""
        raise NotImplementedError

    def shape(self, size):
        """Shape of a label that is shown with a view of `(H, W)` pixels."""
        raise NotImplementedError

    def show(self, label, place, size):
        """A label of `read` as it belongs to the view of its image: an array.

        Args:
            place: `views.Place` of the view in the image. size: its `(H, W)`.
        """
        raise NotImplementedError


class ClassNumbers(Labels):
    """What an image shows as a whole: the number of a class, which no view changes.

    Args:
        numbers: int array `(n,)`.
    """

    kind = CLASSES

    def __init__(self, numbers):
        self.numbers = np.asarray(numbers, np.int64)

    def take(self, indices):
        return ClassNumbers(self.numbers[indices])

    def read(self, i, picture):
        return self.numbers[i]

    def at(self, indices):
        return self.numbers[indices]

    def shape(self, size):
        return ()

    def show(self, label, place, size):
        return label
