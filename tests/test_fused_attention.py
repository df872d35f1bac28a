"""Attention in one kernel computes, and learns, what attention in many does."""

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_eesmm, to_numpy
from eesmm_keras import SwinBackbone
from eesmm_keras.errors import UserError
from eesmm_keras.layers.fused import check_one_gpu, fuse_attention

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="its kernels are JAX's")


def encoder(**changes):
    arguments = {
        "image_shape": (32, 32, 3), "embed_dim": 16, "depths": (2, 1), "num_heads": (1, 1),
        "window_size": 4, "patch_size": 2,
    }  # fmt: skip
    return SwinBackbone(**{**arguments, **changes})


def layer_and_inputs(heads, head, size, sets, shared, batch, dtype):
    from eesmm_keras.layers.window_attention import WindowAttention

    rng = np.random.default_rng(0)
    layer = WindowAttention(
        heads * head, heads, 7, dtype=f"mixed_{dtype}".replace("mixed_float32", "float32")
    )
    qkv = rng.normal(size=(batch, sets, size, 3 * heads * head)).astype("float32")
    bias = rng.normal(size=(1 if shared else sets, heads, size, size)).astype("float32")
    # Some may not look at some, as in groups of several windows.
    bias[..., : size // 2, size // 2 :] = -1e4
    upstream = rng.normal(size=(batch, sets, size, heads * head)).astype("float32")
    return layer, *(
        keras.ops.cast(x, t) for x, t in ((qkv, dtype), (bias, "float32"), (upstream, dtype))
    )


@on_jax
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("heads", "head", "size", "sets", "shared", "batch"),
    [
        (2, 16, 5, 2, False, 3),
        (1, 32, 49, 1, False, 9),
        (3, 16, 16, 3, True, 17),
        (1, 64, 70, 2, True, 2),
    ],
)
def test_values_and_gradients_are_those_of_plain_attention(
    heads, head, size, sets, shared, batch, dtype
):
    import jax

    from eesmm_keras.ops.fused_attention import attend

    layer, qkv, bias, upstream = layer_and_inputs(heads, head, size, sets, shared, batch, dtype)
    fused, back = jax.vjp(lambda x, b: attend(x, b, heads, True), qkv, bias)
    plain, plainly = jax.vjp(lambda x, b: layer._attend(x, b, False), qkv, bias)
    found, expected = (fused, *back(upstream)), (plain, *plainly(upstream))
    tolerance = 2e-6 if dtype == "float32" else 3e-2
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        mine, theirs = (np.asarray(x, "float32") for x in (mine, theirs))
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(mine / scale, theirs / scale, atol=tolerance)
    assert np.abs(np.asarray(found[2])).max() > 0.1


@on_jax
def test_a_step_learns_the_same():
    learnt, start = [], None
    for fused in (False, True):
        model = tiny_eesmm(encoder())
        if fused:
            assert fuse_attention(model, interpret=True) == 3
            model.set_weights(start)
        start = model.get_weights()
        before = [to_numpy(v) for v in model.trainable_variables]
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(random_images(4), batch_size=4, verbose=0, shuffle=False)
        learnt.append([to_numpy(v) for v in model.trainable_variables])
    moved = [np.abs(new - old).max() for new, old in zip(learnt[1], before, strict=True)]
    assert max(moved) > 1e-3
    for mine, theirs in zip(*learnt, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@on_jax
def test_outside_of_training_nothing_changes():
    model = tiny_eesmm(encoder())
    images, hidden = random_images(4), model.sample_hidden(0)
    before = to_numpy(model(images, hidden=hidden)["prediction"])
    fuse_attention(model)
    np.testing.assert_array_equal(to_numpy(model(images, hidden=hidden)["prediction"]), before)


@on_jax
def test_what_does_not_fit_is_refused():
    for changes in ({"num_heads": (2, 4)}, {"attention_dropout": 0.1}, {"version": 2}):
        with pytest.raises(UserError, match="no attention that it fits"):
            fuse_attention(tiny_eesmm(encoder(**changes)))
    with pytest.raises(UserError, match=r"needs one NVIDIA GPU, and JAX has \d x cpu"):
        check_one_gpu()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the other backends")
def test_other_backends_have_no_such_kernel():
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        fuse_attention(keras.Sequential())
