import keras


class BackboneHolder(keras.Model):
    """A model around an encoder, `self.backbone`, that is saved and loaded with it."""

    def train_step(self, *args):
        return _averageable(super().train_step(*args))

    def test_step(self, *args):
        return _averageable(super().test_step(*args))

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


def _averageable(logs):
    """Logs of a step as Keras can average them over the hosts of TensorFlow.

    Keras 3.15 takes the mean over their first axis, which scalars do not have.
    """
    if keras.backend.backend() != "tensorflow":
        return logs
    import tensorflow as tf

    if not isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    return keras.tree.map_structure(lambda value: tf.reshape(value, (1,)), logs)
