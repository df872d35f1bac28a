import keras
from keras import ops

from eesmm_keras.device_waits import where
from eesmm_keras.gpus import leave_gpus_to_backend
from eesmm_keras.parallel import replica

# For those who feed a model from data sets of their own.
leave_gpus_to_backend()


class GuardedModel(keras.Model):
    """A model around an encoder, `self.backbone`, that is saved and loaded with it.

    Training is guarded: a loss that is not finite gets gradients that are not, which
    `LayerDecayAdamW` skips (as Keras' loss scaling does in half precision), and it is left out of
    the average that the logs show. With that optimizer the logs also hold `skipped`, the number of
    steps skipped so far; in half precision only those whose loss was not finite, because loss
    scaling skips others as a part of its work.

    Attributes:
        backbone: the encoder, a `Backbone`; a subclass sets it.
        derived_variables: variables that follow from the configuration: a checkpoint need not hold
            them. None by default.
        former_state: positions, among the variables of this model in an earlier release, of state that
            is no longer there; its checkpoints hold it. None by default.
        no_weight_decay: names of variables that weight decay leaves alone, though they are matrices:
            the encoder's, and what a subclass adds.
        learning_rate_scale: factor on the learning rate that the model asks for; 1 by default.
        meets_replicas: whether its forward pass asks other replicas of TensorFlow, which XLA cannot;
            False by default.

    This file and `replica_step.py` are the only places that rely on what Keras does not promise. Each
    such place says what it needs, and names the version of Keras that it was written for.
    """

    derived_variables = ()
    former_state = ()
    learning_rate_scale = 1.0
    meets_replicas = False
    _replicas_compiled = False

    @property
    def no_weight_decay(self):
        return tuple(self.backbone.no_weight_decay)

    def compile(self, optimizer="rmsprop", *args, jit_compile="auto", **kwargs):
        """`keras.Model.compile`; an optimizer that asks for it is told `no_weight_decay`.

        Args:
            jit_compile: under a strategy of TensorFlow, whether XLA compiles the forward and backward
                pass of each replica; "auto": if there is a GPU.
        """
        if getattr(optimizer, "undecayed", ()) is None:
            optimizer.undecayed = self.no_weight_decay
        if self._has_replicas:
            self._replicas_compiled = self._compiles_replicas(jit_compile, **kwargs)
            jit_compile = False
        super().compile(optimizer, *args, jit_compile=jit_compile, **kwargs)
        # TensorFlow traces a step twice if the first one makes the optimizer's variables, which is
        # that of loss scaling where compiling has wrapped the other one.
        if self.built and self.optimizer and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        # Keras 3.15 makes the metric of the loss itself and offers no way to give it another one.
        loss = self.metrics[0]
        loss.__class__ = GuardedLoss
        loss.left_out = loss.add_variable((), "zeros", dtype="int32", name="left_out")

    def compile_from_config(self, config):
        # Keras 3.15 leaves this to models with a `compile` of their own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @property
    def skipped_steps(self):
        """Variable that counts skipped steps, or None."""
        if hasattr(self.optimizer, "inner_optimizer"):
            return self.metrics[0].left_out
        return getattr(self.optimizer, "skipped", None)

    @property
    def _has_replicas(self):
        if keras.backend.backend() != "tensorflow":
            return False
        return self.distribute_strategy.num_replicas_in_sync > 1

    def _compiles_replicas(self, asked, run_eagerly=False, **kwargs):
        import tensorflow as tf

        wanted = bool(tf.config.list_physical_devices("GPU")) if asked == "auto" else asked
        return bool(wanted) and not (run_eagerly or self.meets_replicas)

    def _keras_step(self, *args):
        """Keras' `train_step`, or what stands for it where TensorFlow has several replicas."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if replica()[0] == 1 or not hasattr(optimizer, "takes_sums"):
            return super().train_step(*args)
        from eesmm_keras import replica_step

        optimizer.takes_sums = True
        return replica_step.train_step(self, *args, compiled=self._replicas_compiled)

    def train_step(self, *args):
        result, counter = self._keras_step(*args), self.skipped_steps
        if counter is None:
            return _averageable(result)
        if keras.backend.backend() != "jax":
            return _averageable({**result, "skipped": ops.cast(counter, "float32")})
        logs, state = result
        variables = [*self.optimizer.variables, *self.metrics_variables]
        values = [*state[2], *state[3]]
        place = [variable is counter for variable in variables].index(True)
        return {**logs, "skipped": ops.cast(values[place], "float32")}, state

    def stateless_call(self, trainable_variables, *args, **kwargs):
        # Keras 3.15 takes JAX's gradient through this call. In half precision it casts every variable.
        half = self.compute_dtype != self.variable_dtype
        if half and kwargs.get("training") and keras.backend.backend() == "jax":
            from eesmm_keras.few_kernels import read_in_common

            trainable_variables = read_in_common(trainable_variables)
        return super().stateless_call(trainable_variables, *args, **kwargs)

    def compute_loss(self, *args, **kwargs):
        return guarded(super().compute_loss(*args, **kwargs))

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


def guarded(loss):
    """The same loss; where it is not finite, so are all its gradients."""
    return loss * where(ops.isfinite(ops.stop_gradient(loss)), 1.0, float("nan"))


class FiniteMean(keras.metrics.Mean):
    """Mean of the values that are finite, scalars; nan where none was."""

    def update_state(self, values, sample_weight=None):
        weight = 1 if sample_weight is None else sample_weight
        weight = float(weight) if isinstance(weight, int) else ops.cast(weight, self.dtype)
        finite = ops.isfinite(values)
        super().update_state(where(finite, values, 0.0), where(finite, weight, 0.0))

    def result(self):
        return ops.divide(self.total, self.count)


class GuardedLoss(FiniteMean):
    """The loss of the logs; `left_out` counts values that were not finite, over all epochs."""

    def update_state(self, values, sample_weight=None):
        super().update_state(values, sample_weight)
        self.left_out.assign_add(1 - ops.cast(ops.isfinite(values), "int32"))

    def reset_state(self):
        self.total.assign(0.0)
        self.count.assign(0.0)


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
