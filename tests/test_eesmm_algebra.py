"""Mixes, masks and the algebra of decomposition: closed forms on plain arrays."""

import keras
import numpy as np
import pytest
from keras import ops

from conftest import random_images, tiny_eesmm, to_numpy
from eesmm_keras.ops import losses, masking, mixing


def floats(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


tensor = ops.convert_to_tensor


# === Mixing ===


def test_mix_then_mask_equals_mask_then_mix_under_a_shared_mask():
    sources, visible = floats((3, 2, 16, 12)), (np.arange(16) % 3 == 0).astype("float32")
    weights = (0.3, 0.7)
    mixed_first = to_numpy(mixing.mix(tensor(sources), weights)) * visible[:, None]
    masked_first = to_numpy(mixing.mix(tensor(sources * visible[:, None]), weights))
    np.testing.assert_allclose(mixed_first, masked_first, atol=1e-6)
    np.testing.assert_allclose(
        mixed_first, (0.3 * sources[:, 0] + 0.7 * sources[:, 1]) * visible[:, None], atol=1e-6
    )


@pytest.mark.parametrize(("batch", "n"), [(6, 2), (7, 2), (7, 3), (8, 3), (3, 3), (5, 4)])
def test_every_image_is_mixed_and_none_with_itself(batch, n):
    groups = to_numpy(mixing.group_images(np.arange(batch)[:, None, None, None], n))[..., 0, 0, 0]
    assert groups.shape == (-(-batch // n), n)
    assert set(groups.ravel()) == set(range(batch))
    assert all(len(set(group)) == n for group in groups)


@pytest.mark.parametrize("weights", [(0.5,), (0.5, 0.6), (1.5, -0.5)])
def test_wrong_mix_weights(weights):
    with pytest.raises(ValueError, match="sum to 1"):
        tiny_eesmm(mix_weights=weights)


def test_views_are_other_pictures_of_the_same_image():
    images = ops.convert_to_tensor(random_images(4).astype("float32"))
    for even in (True, False):
        views = to_numpy(mixing.two_views(images, keras.random.SeedGenerator(0), even))
        assert views.shape == images.shape
        assert np.abs(views - to_numpy(images)).mean() > 5
        assert views.mean() == pytest.approx(to_numpy(images).mean(), rel=0.05)


def test_affine_views_closed_forms():
    image = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    one, zero, still = ops.ones(1), ops.zeros(1), ops.zeros((1, 2))
    same = mixing.affine_views(ops.convert_to_tensor(image), zero, one, still)
    np.testing.assert_allclose(to_numpy(same), image, atol=1e-3)
    turned = mixing.affine_views(ops.convert_to_tensor(image), zero + np.pi / 2, one, still)
    expected = np.rot90(image[0, :, :, 0], 1)
    np.testing.assert_allclose(to_numpy(turned)[0, :, :, 0], expected, atol=1e-2)
    zoomed = mixing.affine_views(ops.convert_to_tensor(image), zero, one * 0.5, still)
    np.testing.assert_allclose(to_numpy(zoomed)[0, 0, 0, 0], 6.0, atol=1e-2)


# === Decomposition ===


def test_subtract_identity():
    weights = (0.2, 0.3, 0.5)
    sources, prediction = floats((2, 3, 4, 6)), floats((2, 4, 6), 1)
    mixed = to_numpy(mixing.mix(tensor(sources), weights))
    decomposed = losses.subtract_sources(tensor(prediction), tensor(sources), weights)
    decomposed = to_numpy(decomposed)
    # Eq. 5 for the first source.
    first = (prediction - 0.3 * sources[:, 1] - 0.5 * sources[:, 2]) / 0.2
    np.testing.assert_allclose(decomposed[:, 0], first, atol=1e-5)
    for k, weight in enumerate(weights):
        np.testing.assert_allclose(
            decomposed[:, k] - sources[:, k], (prediction - mixed) / weight, atol=1e-4
        )


def test_assignment_is_permutation_invariant_and_best():
    sources, prediction = floats((2, 3, 5, 4)), floats((2, 3, 5, 4), 1)
    hidden = (floats((3, 5), 2) > 0).astype("float32")

    def cost(assigned):
        errors = losses.unit_errors(assigned, sources)
        return to_numpy(ops.sum(losses.masked_mean(errors, hidden), axis=1))

    best = cost(losses.best_assignment(prediction, sources, hidden))
    from itertools import permutations

    every = [cost(prediction[:, list(order)]) for order in permutations(range(3))]
    np.testing.assert_allclose(best, np.min(every, axis=0), rtol=1e-5)
    for order in permutations(range(3)):
        shuffled = losses.best_assignment(prediction[:, list(order)], sources, hidden)
        np.testing.assert_allclose(cost(shuffled), best, rtol=1e-5)


def test_masked_loss_closed_form():
    """Eq. 7: errors of visible units do not count, those of hidden ones are averaged."""
    errors = np.array([[1.0, 10.0, 3.0], [1.0, 10.0, 3.0]], "float32")
    hidden = np.array([[1, 0, 1], [0, 1, 0]], "float32")
    np.testing.assert_allclose(to_numpy(losses.masked_mean(tensor(errors), hidden)), [2.0, 10.0])


def test_statistics_of_a_mix():
    sources = floats((2, 2, 3, 8))
    weights = (0.5, 0.5)
    mixed = sources.mean(1)
    mean, scale = losses.unit_statistics(tensor(mixed))
    np.testing.assert_allclose(to_numpy(scale)[..., 0], mixed.std(-1, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(to_numpy(mean)[..., 0], mixed.mean(-1), atol=1e-6)
    # Black on white: the mix is flat grey, its sources stay of order one.
    flat = np.stack([np.ones((1, 1, 8)), -np.ones((1, 1, 8))], axis=1).astype("float32")
    _, scale = losses.pooled_statistics(tensor(flat), tensor(flat.mean(1)), weights)
    np.testing.assert_allclose(to_numpy(scale), 1.0, atol=1e-4)


# === Masks ===


@pytest.mark.parametrize(
    ("units", "ratio", "count"), [(49, 0.75, 12), (36, 0.6, 14), (16, 0.75, 4)]
)
def test_masks_hide_the_ratio(units, ratio, count):
    masks = masking.sample_masks(np.random.default_rng(0), units, ratio)
    assert masks.shape == (1, units)
    assert (masks == 0).sum() == count


@pytest.mark.parametrize("n", [2, 3, 4])
def test_independent_masks_have_one_union_size_and_differ(n):
    rng = np.random.default_rng(0)
    masks = [masking.sample_masks(rng, 49, 0.75, n) for _ in range(5)]
    unions = {int((m == 0).any(0).sum()) for m in masks}
    assert unions == {masking.common_union_size(49, 37, n)}
    assert all((m.sum(1) == 37).all() for m in masks)
    free = masking.random_masks(rng, 12000, 49, 37).reshape(-1, n, 49) == 0
    counts = np.bincount(free.any(1).sum(1))
    assert counts[unions.pop()] > 0.9 * counts.max()


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.999])
def test_a_ratio_that_hides_nothing_or_everything(ratio):
    with pytest.raises(ValueError, match="At least one must be hidden and one visible"):
        tiny_eesmm(mask_ratio=ratio)
