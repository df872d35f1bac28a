"""HOG features: equal to scikit-image's cells before block normalisation."""

import numpy as np
import pytest

from conftest import to_numpy
from eesmm_keras.ops.hog import hog, units_hog


def skimage_cells(channel, cell, orientations):
    """What scikit-image's `hog` computes before it normalises blocks."""
    _hog = pytest.importorskip("skimage.feature._hog")
    down, right = _hog._hog_channel_gradient(channel)
    rows, cols = channel.shape
    cells = np.zeros((rows // cell, cols // cell, orientations))
    _hog._hoghistogram.hog_histograms(
        np.ascontiguousarray(right), np.ascontiguousarray(down), cell, cell, cols, rows,
        cols // cell, rows // cell, orientations, cells,
    )  # fmt: skip
    return cells


@pytest.mark.parametrize(("cell", "orientations"), [(8, 9), (4, 6)])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_equals_scikit_image(cell, orientations, kind):
    rng = np.random.default_rng(0)
    if kind == "noise":
        images = rng.normal(size=(2, 32, 48, 3))
    else:
        y, x = np.mgrid[:32, :48] / 10
        images = np.stack([np.sin(a * x + b * y) for a, b in ((1, 2), (3, 1), (0.5, 0.2))], -1)
        images = np.stack([images, images[::-1]])
    mine = to_numpy(hog(images.astype("float32"), cell, orientations))
    assert mine.shape == (2, 32 // cell, 48 // cell, 3, orientations)
    for image, cells in zip(images.astype("float32"), mine, strict=True):
        for channel in range(3):
            expected = skimage_cells(image[..., channel].astype(float), cell, orientations)
            np.testing.assert_allclose(cells[:, :, channel], expected, atol=1e-4)


def test_an_edge_has_the_orientation_of_its_gradient():
    image = np.zeros((1, 8, 8, 1), "float32")
    image[:, :, 4:] = 1.0  # the gradient points to the right: 0 degrees, the first bin
    cells = to_numpy(hog(image))[0, 0, 0, 0]
    assert cells[0] == pytest.approx(16 / 64)
    assert cells[1:].max() == 0
    cells = to_numpy(hog(image.transpose(0, 2, 1, 3)))[0, 0, 0, 0]
    assert cells[4] == pytest.approx(16 / 64)  # 90 degrees is inside bin 80..100


def test_units_hold_their_own_cells():
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    cells, units = to_numpy(hog(images)), to_numpy(units_hog(images, 16))
    assert units.shape == (1, 4, 2 * 2 * 27)
    np.testing.assert_array_equal(units[0, 1].reshape(2, 2, 27), cells[0, :2, 2:].reshape(2, 2, 27))
