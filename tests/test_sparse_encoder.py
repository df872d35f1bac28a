"""The visible-only path equals the dense path whose attention may not look at hidden tokens."""

import keras
import numpy as np
import pytest
from keras import ops

from conftest import random_images, tiny_backbone, to_numpy
from eesmm_keras import SwinBackbone
from eesmm_keras.ops import grouping, masking
from eesmm_keras.ops.patches import images_to_units, patchify


def visible_units(grid, ratio, seed=0):
    count = grid[0] * grid[1]
    hidden = masking.sample_masks(np.random.default_rng(seed), count, ratio)
    return np.flatnonzero(hidden[0] == 0)


def dense_masked(backbone, images, visible):
    """Dense network without sight of hidden units: last tokens of the visible ones, `(B, V, C)`."""
    hidden = np.ones(backbone.grid[0] * backbone.grid[1], bool)
    hidden[visible] = False
    hidden = hidden.reshape(backbone.grid)
    x = backbone.patch_embedding(patchify(backbone.normalization(images), backbone.patch_size))
    if backbone.positions:
        x = ops.reshape(
            backbone.absolute_positions(ops.reshape(x, (len(x), -1, x.shape[-1]))), x.shape
        )
    for number, stage in enumerate(backbone.stages):
        side = stage.height // backbone.grid[0]
        tokens = np.kron(hidden, np.ones((side, side), bool))
        x = stage.run(x, stage.window_partitions(tokens))
        if number < len(backbone.mergings):
            x = backbone.mergings[number](x)
    x = backbone.norm(x)
    return ops.take(ops.reshape(x, (x.shape[0], -1, x.shape[-1])), visible, axis=1)


def sparse(backbone, images, visible, plan=None):
    plan = plan or backbone.planner([visible]).plan(visible)
    units = images_to_units(backbone.normalization(images), backbone.stride)
    return backbone.encode_visible(ops.take(units, visible, axis=1), plan)


def enlarge_weights(backbone):
    """Attention must matter: at initialisation it hardly does (weights of 0.02)."""
    rng = np.random.default_rng(1)
    for variable in backbone.variables:
        if variable.name == "relative_position_table":
            variable.assign(rng.normal(size=variable.shape))
        elif variable.name == "kernel":
            variable.assign(rng.normal(size=variable.shape) / np.sqrt(variable.shape[0]))
        elif variable.name == "bias":
            variable.assign(0.1 * rng.normal(size=variable.shape))


def swin(size, window):
    return SwinBackbone(
        image_shape=(size, size, 3), window_size=window, embed_dim=16, depths=(2, 2, 2, 2),
        num_heads=(1, 2, 2, 4),
    )  # fmt: skip


PRESETS = ["swin_mini_32", "swin_mini_64", "mixmim_mini_32"]
CASES = [(192, 6), (192, 7), (192, 12), (192, 14), (224, 6), (224, 7), (224, 12), (224, 14)]
RATIOS = (0.5, 0.75, 0.9)
if keras.backend.backend() == "jax":
    # Eager JAX compiles every operation for every shape: minutes for what others do in seconds.
    CASES, RATIOS, PRESETS = [(192, 7)], (0.75,), ["mixmim_mini_32"]


@pytest.mark.parametrize(("size", "window"), CASES)
def test_equals_dense_without_sight(size, window):
    backbone = swin(size, window)
    enlarge_weights(backbone)
    images = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")
    for seed, ratio in enumerate(RATIOS):
        visible = visible_units(backbone.grid, ratio, seed)
        expected = to_numpy(dense_masked(backbone, images, visible))
        np.testing.assert_allclose(to_numpy(sparse(backbone, images, visible)), expected, atol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_equals_dense_for_small_presets_and_unequal_sides(preset):
    side = int(preset.rpartition("_")[2])
    backbone = SwinBackbone.from_preset(preset, image_shape=(side, 2 * side, 3))
    enlarge_weights(backbone)
    images = np.random.default_rng(0).uniform(0, 255, (2, *backbone.image_shape)).astype("float32")
    examples = [visible_units(backbone.grid, 0.75, seed) for seed in range(4)]
    planner = backbone.planner(examples)
    for visible in examples:
        np.testing.assert_allclose(
            to_numpy(sparse(backbone, images, visible, planner.plan(visible))),
            to_numpy(dense_masked(backbone, images, visible)),
            atol=1e-4,
        )


def test_all_units_visible_is_the_dense_network():
    backbone = tiny_backbone()
    enlarge_weights(backbone)
    images = random_images(2).astype("float32")
    everything = np.arange(64)
    np.testing.assert_allclose(
        to_numpy(sparse(backbone, images, everything)),
        to_numpy(backbone(images)).reshape(2, 64, -1),
        atol=1e-4,
    )


@pytest.mark.parametrize("spoil", ["position", "segment", "inverse"])
def test_wrong_plans_fail(spoil):
    """Negative controls: the equality above notices wrong coordinates, windows and order."""
    backbone = tiny_backbone()
    enlarge_weights(backbone)
    images = random_images(2).astype("float32")
    visible = visible_units(backbone.grid, 0.75)
    plan = grouping.GroupPlanner(backbone.geometry, backbone.grid, [visible]).plan(visible)
    groups = plan["stage_0"]["shifted"]
    if spoil == "position":
        groups["position"] = groups["position"][:, ::-1]
    elif spoil == "segment":
        groups["segment"] = np.zeros_like(groups["segment"])
    else:
        groups["inverse"] = np.roll(groups["inverse"], 1)
    expected = to_numpy(dense_masked(backbone, images, visible))
    difference = np.abs(to_numpy(sparse(backbone, images, visible, plan)) - expected).max()
    assert difference > 1e-2


def test_gradients_equal_dense():
    backbone = tiny_backbone()
    enlarge_weights(backbone)
    images = random_images(2).astype("float32")
    visible = visible_units(backbone.grid, 0.75)
    results = []
    for path in (sparse, dense_masked):
        results.append(gradients(backbone, lambda path=path: path(backbone, images, visible)))
    for variable, mine, other in zip(backbone.trainable_variables, *results, strict=True):
        scale = np.abs(other).max() + 1e-6
        assert np.abs(mine - other).max() / scale < 1e-3, variable.path


def gradients(model, forward):
    """Gradients of a fixed projection of the output, on the running backend."""

    def loss():
        y = forward()
        return ops.sum(
            y * ops.reshape(ops.cos(ops.arange(y.shape[-1], dtype="float32")), (1, 1, -1))
        )

    variables = model.trainable_variables
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return [
            to_numpy(tf.convert_to_tensor(g))
            for g in tape.gradient(value, [variable.value for variable in variables])
        ]
    if keras.backend.backend() == "torch":
        for variable in variables:
            variable.value.grad = None
        loss().backward()
        return [to_numpy(variable.value.grad) for variable in variables]
    import jax

    def pure(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss()

    return [np.asarray(g) for g in jax.grad(pure)([variable.value for variable in variables])]


def test_groups_hold_whole_windows_of_visible_tokens():
    stage = grouping.StageGeometry(56, 56, 8, 7, 96, 2)
    units = visible_units((7, 7), 0.75)
    for _, window, shift in stage.partitions:
        pieces = grouping.find_pieces(units, 7, stage, window, shift)
        size, count = grouping.choose_capacity([pieces.size.tolist()], 96)
        groups = grouping.group_tokens(pieces, size, count)
        held = groups["index"][groups["index"] < pieces.num_tokens]
        assert sorted(held) == list(range(pieces.num_tokens))
        for segment in np.unique(pieces.segment):
            assert len(np.unique(np.nonzero(groups["segment"] == segment)[0])) == 1
        flat = groups["index"].reshape(-1)
        np.testing.assert_array_equal(flat[groups["inverse"]], np.arange(pieces.num_tokens))


def test_pack_refuses_a_piece_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        grouping.pack([5, 9], 8)
    bins, count = grouping.pack([5, 3, 4, 4], 8)
    assert count == 2
    assert np.bincount(bins, weights=[5, 3, 4, 4]).tolist() == [8, 8]
