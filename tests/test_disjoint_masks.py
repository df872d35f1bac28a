"""Disjoint masking (DMJD): hidden sets overlap only as far as the ratio forces them to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eesmm_keras.ops.masking import MaskSampler, disjoint_masks


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(2, 80),
    views=st.integers(1, 6),
    share=st.floats(0.05, 0.95),
    limit=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_hidden_sets_are_as_disjoint_as_the_ratio_allows(total, views, share, limit, seed):
    hidden = min(max(1, round(share * total)), total - 1)
    predicted = max(hidden, round(limit * total))
    masks = disjoint_masks(np.random.default_rng(seed), total, hidden, views, predicted)
    assert masks.shape == (views, total)
    assert (masks.sum(axis=1) == hidden).all()
    times = np.sort(masks.sum(axis=0))[-predicted:]
    # Among those that may be hidden, nobody is hidden twice while somebody is not hidden at all.
    assert times.max() - times.min() <= 1
    assert (masks.sum(axis=0) > 0).sum() == min(predicted, views * hidden)


def test_every_unit_is_hidden_equally_often_over_many_draws():
    rng = np.random.default_rng(0)
    counts = np.mean([disjoint_masks(rng, 16, 10, 2) for _ in range(2000)], axis=0)
    np.testing.assert_allclose(counts, 10 / 16, atol=0.05)


def test_prediction_rate():
    sampler = MaskSampler((7, 7), 0.6, num_views=2)
    assert sampler.prediction_rate == 1.0
    assert MaskSampler((7, 7), 0.25, num_views=2).prediction_rate == pytest.approx(26 / 49)
    assert MaskSampler((8, 8), 0.5, num_views=2, prediction_ratio=0.75).prediction_rate == 0.75
    assert sampler(np.random.default_rng(0)).shape == (2, 1, 49)


def test_blocks_are_squares():
    sampler = MaskSampler((14, 14), 0.6, num_views=2, block_size=2)
    first, second = sampler(np.random.default_rng(0))[:, 0]
    for mask in (first, second):
        cells = mask.reshape(7, 2, 7, 2)
        assert (cells == cells[:, :1, :, :1]).all()
        assert (mask == 0).sum() == sampler.num_visible
    assert ((first + second) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_views": 0}, "num_views must be a whole number from 1 to 64"),
        ({"num_masks": 2, "num_views": 2}, "Independent masks"),
        ({"block_size": 2}, "block_size must divide the 7x7"),
        ({"prediction_ratio": 0.5}, "between mask_ratio=0.6 and 1"),
    ],
)
def test_numbers_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskSampler((7, 7), 0.6, **arguments)
