import keras
from keras import ops


class BackboneHolder(keras.Model):
    """A model around an encoder, `self.backbone`, that is saved and loaded with it.

    Training is guarded: a loss that is not finite gets gradients that are not, which
    `LayerDecayAdamW` skips, and it is left out of the average that the logs show. With that
    optimizer the logs also hold `skipped`, the number of steps skipped so far.
    """

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        # Keras makes this metric itself and offers no way to give it another one.
        self.metrics[0].__class__ = FiniteMean

    def train_step(self, *args):
        result = super().train_step(*args)
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if not hasattr(optimizer, "skipped"):
            return result
        if keras.backend.backend() != "jax":
            return {**result, "skipped": ops.cast(optimizer.skipped, "float32")}
        logs, state = result
        places = [variable is optimizer.skipped for variable in self.optimizer.variables]
        return {**logs, "skipped": ops.cast(state[2][places.index(True)], "float32")}, state

    def compute_loss(self, *args, **kwargs):
        return guarded(super().compute_loss(*args, **kwargs))

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


def guarded(loss):
    """The same loss; where it is not finite, so are all its gradients."""
    return loss * ops.where(ops.isfinite(ops.stop_gradient(loss)), 1.0, float("nan"))


class FiniteMean(keras.metrics.Mean):
    """Mean of the values that are finite, scalars."""

    def update_state(self, values, sample_weight=None):
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, self.dtype)
        finite = ops.isfinite(values)
        super().update_state(ops.where(finite, values, 0.0), ops.where(finite, weight, 0.0))
