import keras


class BackboneHolder(keras.Model):
    """A model around an encoder, `self.backbone`, that is saved and loaded with it."""

    def train_step(self, *args):
        return _averageable(super().train_step(*args))

    def test_step(self, *args):
        return _averageable(super().test_step(*args))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras 3.15 takes the mean of a first batch over the hosts, to see its shape; that fails
        # on bytes and on pairs. This host's own batch has the shape too.
        if iterator is not None and _over_hosts(self.distribute_strategy):
            _, _, batches = next(iter(iterator))
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda x: local(x)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def get_config(self):
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def _over_hosts(strategy):
    """Whether TensorFlow trains on several hosts."""
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _averageable(logs):
    """Logs of a step as Keras can average them over the hosts of TensorFlow.

    Keras 3.15 takes the mean over their first axis, which scalars do not have.
    """
    if keras.backend.backend() != "tensorflow":
        return logs
    import tensorflow as tf

    if not _over_hosts(tf.distribute.get_strategy()):
        return logs
    return keras.tree.map_structure(lambda value: tf.reshape(value, (1,)), logs)
