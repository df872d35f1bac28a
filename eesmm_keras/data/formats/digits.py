"""scikit-learn's 1,797 handwritten digits: always there, for tests and examples."""

import numpy as np

from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices, stratified_split

# The test images must be the same ones in every run, whatever the seed.
_TEST_FRACTION = 0.2
_TEST_SEED = 0


class Digits(Source):
    """8 x 8 grey pictures of 0..16, as RGB uint8 of 0..255.

    A fifth of every class, always the same, is "test"; None is everything else; "train" and "val"
    divide that by `seed` and `val_fraction`.
    """

    spelling = "digits (bundled with scikit-learn)"

    def matches(self, spec):
        return spec == "digits"

    def open(self, spec, split, options):
        from sklearn.datasets import load_digits

        data = load_digits()
        part, piece, note = choose_part({"train", "test"}, split)
        train, test = stratified_split(data.target, _TEST_FRACTION, _TEST_SEED)
        index = test if part == "test" else train
        labels = data.target[index]
        index = index[piece_indices(piece, labels, options.val_fraction, options.seed)]
        grey = np.rint(data.images[index] * (255 / 16)).astype(np.uint8)
        return ImageSource(
            "digits",
            np.repeat(grey[..., None], 3, axis=-1),
            labels=data.target[index],
            class_names=[str(name) for name in data.target_names],
            note=note,
            ids=[f"digits image {i}" for i in index],
        )
