"""Blocks that are computed again on the way back learn the same."""

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, tiny_eesmm, to_numpy
from eesmm_keras.errors import UserError
from eesmm_keras.layers.recomputed import Recomputed, recompute_blocks


def test_recomputed_blocks_learn_the_same():
    images, learnt, runs, start = random_images(4), [], [], None
    for remat in (False, True):
        model = tiny_eesmm(tiny_backbone(depths=(1, 1)))
        if remat:
            assert recompute_blocks(model) == 3  # the decoder's too
            model.set_weights(start)
            count_runs(model, runs)
        start = model.get_weights()
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(images, batch_size=4, verbose=0, shuffle=False)
        learnt.append([to_numpy(v) for v in model.trainable_variables])
    for mine, theirs in zip(*learnt, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    # Run or traced for both passes; JAX traces once and computes that twice.
    assert len(runs) >= (1 if keras.backend.backend() == "jax" else 2)


def count_runs(model, runs):
    """Note in `runs` whenever the first block computes anything."""
    block = model.backbone.stages[0].blocks[0]
    inner = block._run

    def run(*args):
        runs.append(keras.backend.backend())
        return inner(*args)

    block._run = run


def test_nothing_is_computed_again_outside_of_training():
    model = tiny_eesmm(tiny_backbone(depths=(1, 1)))
    images = random_images(4)
    hidden = model.sample_hidden(0)
    before = to_numpy(model(images, hidden=hidden)["prediction"])
    recompute_blocks(model)
    np.testing.assert_array_equal(to_numpy(model(images, hidden=hidden)["prediction"]), before)


def test_what_is_random_cannot_be_computed_again():
    with pytest.raises(UserError, match="drop_path"):
        recompute_blocks(tiny_eesmm(tiny_backbone(drop_path=0.1)))
    with pytest.raises(UserError, match="no blocks"):
        recompute_blocks(keras.Sequential([keras.layers.Dense(2)]))
    assert not Recomputed.remat
