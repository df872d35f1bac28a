"""Steps that are not finite: they change nothing, are counted, and do not spoil the logs."""

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, tiny_eesmm, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW


def weights(model):
    return [to_numpy(variable).copy() for variable in model.trainable_variables]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


class Poisoned(ImageClassifier):
    """Its loss is not finite, or its gradients alone, for a black batch."""

    how = "loss"

    def call(self, images, training=False):
        logits = super().call(images, training=training)
        black = keras.ops.cast(keras.ops.max(images) == 0, "float32")
        if self.how == "loss":
            return logits - keras.ops.log(1 - black)
        # A square root has an infinite slope at 0, where its value is finite.
        return logits + keras.ops.sqrt(keras.ops.sum(keras.ops.square(logits)) * (1 - black)) * 0.1


def fit(model, *batches):
    history = {}
    for images in batches:
        labels = keras.utils.to_categorical(np.arange(len(images)) % 3, 3)
        history = model.fit(images, labels, batch_size=len(images), verbose=0).history
    return history


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_bad_step_changes_nothing_and_is_counted(how):
    model = Poisoned(tiny_backbone(), 3)
    model.how = how
    optimizer = LayerDecayAdamW(1e-3)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    good, black = random_images(4), np.zeros((4, 32, 32, 3), "uint8")
    fit(model, good)
    before = weights(model), [to_numpy(v).copy() for v in optimizer._momentums]
    history = fit(model, black)
    assert equal(before[0], weights(model))
    assert equal(before[1], [to_numpy(v) for v in optimizer._momentums])
    assert int(optimizer.skipped) == 1
    assert history["skipped"] == [1.0]
    fit(model, good)
    assert not equal(before[0], weights(model))
    assert int(optimizer.skipped) == 1


def test_the_mean_of_an_epoch_leaves_bad_steps_out():
    model = Poisoned(tiny_backbone(), 3)
    model.compile(LayerDecayAdamW(0.0), keras.losses.CategoricalCrossentropy(from_logits=True))
    good, black = random_images(4), np.zeros((4, 32, 32, 3), "uint8")
    labels = keras.utils.to_categorical(np.arange(8) % 3, 3)
    both = np.concatenate([good, black])
    alone = model.fit(good, labels[:4], batch_size=4, verbose=0, shuffle=False).history["loss"]
    mixed = model.fit(both, labels, batch_size=4, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(mixed, alone, rtol=1e-5)
    # No step was good: that is no loss of 0.
    nothing = model.fit(black, labels[4:], batch_size=4, verbose=0).history["loss"]
    assert np.isnan(nothing).all()


def test_accumulation_takes_the_good_steps_only():
    variable = keras.Variable(np.ones((2, 2), "float32"), name="bias")
    optimizer = LayerDecayAdamW(0.1, weight_decay=0.0, gradient_accumulation_steps=2)
    optimizer.build([variable])
    for value in (np.nan, 1.0):
        optimizer.apply([keras.ops.full((2, 2), value)], [variable])
    np.testing.assert_allclose(to_numpy(variable), 0.9, atol=1e-5)
    assert int(optimizer.skipped) == 1


def test_rate_factor_scales_the_step():
    variable = keras.Variable(np.ones((2,), "float32"), name="bias")
    optimizer = LayerDecayAdamW(0.1)
    optimizer.build([variable])
    optimizer.rate_factor.assign(0.5)
    optimizer.apply([keras.ops.ones((2,))], [variable])
    np.testing.assert_allclose(to_numpy(variable), 0.95, atol=1e-5)


def test_pretraining_is_guarded_too():
    model = tiny_eesmm()
    model.compile(LayerDecayAdamW(1e-3))
    before = weights(model)
    images = np.full((4, 32, 32, 3), np.nan, "float32")
    # An array would be refused.
    history = model.fit(((images,) for _ in range(1)), steps_per_epoch=1, verbose=0).history
    assert equal(before, weights(model))
    assert history["skipped"] == [1.0]
    assert np.isnan(history["loss"]).all()
