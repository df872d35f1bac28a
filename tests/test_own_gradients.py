"""GELU and layer normalisation with gradients of their own, beside what Keras does."""

import keras
import numpy as np
import pytest
from scipy.special import ndtr

from conftest import to_numpy
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.ops.gelu import gelu


def value_and_gradients(function, *arrays):
    """`sum(function(*arrays) * weights)` differentiated by all arrays, for fixed random weights."""
    backend = keras.backend.backend()
    weights = np.random.default_rng(9).normal(size=arrays[0].shape).astype("float32")
    if backend == "jax":
        import jax

        def total(*inputs):
            y = function(*inputs)
            return (y.astype("float32") * weights).sum(), y

        grad = jax.value_and_grad(total, argnums=range(len(arrays)), has_aux=True)
        (_, y), gradients = grad(*map(keras.ops.convert_to_tensor, arrays))
    elif backend == "tensorflow":
        import tensorflow as tf

        inputs = [tf.convert_to_tensor(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            total = tf.reduce_sum(tf.cast(y, "float32") * weights)
        gradients = tape.gradient(total, inputs)
    else:
        inputs = [keras.ops.convert_to_tensor(a).requires_grad_() for a in arrays]
        y = function(*inputs)
        (y.float() * keras.ops.convert_to_tensor(weights)).sum().backward()
        gradients = [x.grad for x in inputs]
    return to_numpy(y), [to_numpy(g) for g in gradients], weights


def test_gelu_is_exact_and_so_is_its_slope():
    x = np.linspace(-6, 6, 4 * 97, dtype="float32").reshape(4, 97)
    y, (slope,), upstream = value_and_gradients(lambda x: gelu(x, training=True), x)
    np.testing.assert_allclose(y, x * ndtr(x), atol=2e-6)
    density = np.exp(-0.5 * x.astype("float64") ** 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(slope, upstream * (ndtr(x) + x * density), atol=4e-6)
    np.testing.assert_allclose(to_numpy(gelu(keras.ops.convert_to_tensor(x))), y, atol=2e-6)


@pytest.mark.parametrize("shape", [(3, 5, 16), (2, 4, 4, 12)])
def test_normalisation_has_keras_gradients(shape):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) * 3 + 2).astype("float32")
    gamma, beta = (rng.normal(size=shape[-1:]).astype("float32") for _ in range(2))
    ours, theirs = LayerNormalization(epsilon=1e-5), keras.layers.LayerNormalization(epsilon=1e-5)
    found = {}
    for layer in (ours, theirs):
        layer.build(shape)
        layer.set_weights([gamma, beta])

        def through(x, layer=layer):
            return layer(x, training=True) if layer is ours else layer(x)

        found[layer] = value_and_gradients(through, x)
    np.testing.assert_allclose(found[ours][0], found[theirs][0], atol=2e-6)
    np.testing.assert_allclose(found[ours][1][0], found[theirs][1][0], rtol=1e-4, atol=2e-5)


def test_normalisation_learns_its_own_scale_and_offset():
    x = (np.random.default_rng(1).normal(size=(6, 7, 8)) * 2 + 1).astype("float32")
    target = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    moved = []
    for kind in (LayerNormalization, keras.layers.LayerNormalization):
        model = keras.Sequential([keras.Input((7, 8)), kind(epsilon=1e-5)])
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(x, target, batch_size=6, verbose=0)
        moved.append([to_numpy(v) for v in model.trainable_variables])
    for mine, theirs in zip(*moved, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_half_precision_normalises_as_well_as_it_can():
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(4, 64)) * 0.1 + 3).astype("float32")
    layer = LayerNormalization(epsilon=1e-5, dtype="mixed_bfloat16")
    y = to_numpy(layer(keras.ops.cast(x, "bfloat16"), training=True)).astype("float32")
    rounded = to_numpy(keras.ops.cast(keras.ops.cast(x, "bfloat16"), "float32"))
    expected = rounded - rounded.mean(-1, keepdims=True)
    expected /= np.sqrt((expected**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=0.02)
