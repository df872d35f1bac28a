"""The share of an epoch that a run waits for data."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from eesmm_keras.data.waiting import ReadyClock
from eesmm_keras.training.callbacks import DataWait

STEP = 0.03
SLOW_READ = 0.15  # several steps of a model of one layer, on a busy machine too


class SlowStep(keras.callbacks.Callback):
    """Makes every step last, and keeps what the epochs' logs say."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.waits = seconds, []

    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(self.seconds)

    def on_epoch_end(self, epoch, logs=None):
        self.waits.append(logs["data_wait"])


def waits(read_seconds, step_seconds, steps=8):
    def read(number):
        time.sleep(read_seconds)
        return np.zeros((2, 4), np.float32)

    def load(number):
        return tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), (2, 4))

    images = tf.data.Dataset.range(2 * steps).map(load)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    clock, slow = ReadyClock(), SlowStep(step_seconds)
    dataset = clock.watch(images.map(lambda image: (image, tf.zeros((2, 1)))))
    model.fit(
        dataset, epochs=2, steps_per_epoch=steps, verbose=0, callbacks=[DataWait(clock), slow]
    )
    assert all(0 <= wait <= 1 for wait in slow.waits)
    return slow.waits[1]


@pytest.mark.parametrize("fast", [True, False])
def test_only_a_slow_reader_makes_steps_wait(fast):
    if fast:  # read in a tenth of a step's time, behind the step before
        assert waits(STEP / 10, STEP) < 0.05
    else:  # nearly all of the time goes into reading
        assert waits(SLOW_READ, 0.0) > 0.5


def test_watching_changes_no_batch():
    dataset = tf.data.Dataset.range(6).batch(2).map(lambda x: {"a": (x, 2 * x)})
    watched = ReadyClock().watch(dataset)
    assert watched.element_spec == dataset.element_spec
    assert int(watched.cardinality()) == 3
    for mine, theirs in zip(watched, dataset, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, mine, theirs)
