"""When batches become ready, so that a run can tell how long it waits for them."""

import time

import tensorflow as tf


class ReadyClock:
    """Notes the time at which each batch of a data set became ready, on every Keras backend."""

    def __init__(self):
        self._ready = {}

    def watch(self, dataset):
        """The same data set, read ahead, with its batches timed; what was noted before is forgotten.

        Args:
            dataset: `tf.data.Dataset`.
        """
        self._ready = {}

        ready = self._ready

        def note(number):
            ready[int(number)] = time.monotonic()
            return number

        def stamp(number, batch):
            # By number: a framework may look at the first batch and begin anew.
            with tf.control_dependencies([tf.numpy_function(note, [number], tf.int64)]):
                return tf.nest.map_structure(tf.identity, batch)

        return dataset.enumerate().map(stamp).prefetch(tf.data.AUTOTUNE)

    def take(self, number):
        """Time (of `time.monotonic`, in s) at which batch `number` was ready, or None. Only once."""
        return self._ready.pop(number, None)
