"""Weights for other sizes: against PyTorch's interpolation, SciPy's spline, and exact identities."""

import numpy as np
import pytest

from eesmm_keras.ops import resizing


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("source", "target"), [((5, 7), (9, 4)), ((13, 13), (7, 23)), ((2, 3), (3, 2))]
)
def test_maps_are_interpolated_as_in_pytorch(source, target):
    torch = pytest.importorskip("torch")
    values = random(*source, 3)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values.transpose(2, 0, 1)[None]), size=target, mode="bicubic"
    )[0].numpy()
    found = resizing.resize_map(values, target)
    np.testing.assert_allclose(found, expected.transpose(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize(("window", "wanted"), [(6, 7), (7, 12), (7, 4)])
def test_geometric_tables_are_those_of_a_spline_through_growing_offsets(window, wanted):
    """SimMIM's public code, with the surface spline that SciPy has now for its `interp2d`."""
    from scipy.interpolate import RectBivariateSpline

    side, target = 2 * window - 1, 2 * wanted - 1
    table = random(side**2, 2)
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        low, high = (low, q) if (1 - q ** (side // 2)) / (1 - q) > target // 2 else (q, high)
    distances, current = [], 1
    for i in range(side // 2):
        distances.append(current)
        current += q ** (i + 1)
    places = [-d for d in reversed(distances)] + [0, *distances]
    wanted_places = np.arange(-(target // 2), target // 2 + 0.1, 1.0)
    expected = [
        RectBivariateSpline(places, places, table[:, head].reshape(side, side), s=0)(
            wanted_places, wanted_places
        ).reshape(-1)
        for head in range(2)
    ]
    found = resizing.resize_bias_table(table, wanted, "geometric")
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-4)
    # Near offsets keep their bias; bicubic stretches them.
    middle = found.reshape(target, target, 2)[target // 2, target // 2]
    np.testing.assert_allclose(
        middle, table.reshape(side, side, 2)[side // 2, side // 2], atol=1e-5
    )


def test_a_table_of_the_same_window_stays_as_it_is():
    table = random(49, 3)
    assert resizing.resize_bias_table(table, 4) is table
    assert resizing.resize_bias_table(table, 6).shape == (121, 3)
    with pytest.raises(ValueError, match="Unknown tables 'linear'"):
        resizing.resize_bias_table(table, 6, "linear")


def test_larger_patches_give_an_enlarged_patch_the_same_token():
    kernel, patch = random(4 * 4 * 2, 5), random(4, 4, 2)
    enlarged = resizing.resize_map(patch, (8, 8))
    bigger = resizing.resize_patch_kernel(kernel, 4, 8)
    np.testing.assert_allclose(
        enlarged.reshape(-1) @ bigger, patch.reshape(-1) @ kernel, rtol=1e-4, atol=1e-4
    )


def test_channels():
    kernel = random(4 * 3, 5)
    grey = np.repeat(random(4, 1), 3, axis=1)
    # A grey picture in three channels, or in one or six: the same token.
    for channels, how in ((1, "mean"), (6, "mean"), (6, "repeat")):
        other = resizing.change_channels(kernel, 3, channels, how)
        token = np.repeat(grey[:, :1], channels, axis=1).reshape(-1) @ other
        np.testing.assert_allclose(token, grey.reshape(-1) @ kernel, rtol=1e-4, atol=1e-5)
    first = resizing.change_channels(kernel, 3, 5, "first").reshape(4, 5, 5)
    np.testing.assert_array_equal(first[:, :3], kernel.reshape(4, 3, 5))
    assert not first[:, 3:].any()
    with pytest.raises(ValueError, match="Unknown channels"):
        resizing.change_channels(kernel, 3, 5, "median")


def test_another_normalisation_of_pixels_is_exact():
    kernel, bias, pixels = random(4 * 3, 5), random(5), np.abs(random(4, 3))
    first, second = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), ([0.1, 0.2, 0.6], [1.0, 0.5, 0.2])
    new_kernel, new_bias = resizing.change_normalization(kernel, bias, first, second)

    def token(mean, std, kernel, bias):
        return ((pixels - mean) / std).reshape(-1) @ kernel + bias

    np.testing.assert_allclose(
        token(*second, new_kernel, new_bias), token(*first, kernel, bias), atol=1e-5
    )
