import keras
from keras import ops

from eesmm_keras.device_waits import where

if keras.backend.backend() == "jax":
    from eesmm_keras.few_kernels import Flags, sum_of_squares
elif keras.backend.backend() == "torch":
    from eesmm_keras import fused_adam
elif keras.backend.backend() == "tensorflow":
    from eesmm_keras.replica_step import sum_over_replicas

# What was left out of weight decay before models told the optimizer themselves. Checkpoints and files
# of that time say nothing of it; what goes on from them does so as it began, class token decayed.
UNDECAYED_BEFORE = ("relative_position_table", "mask_token")


def is_decayed(variable, undecayed=()):
    """Whether weight decay applies: to matrices (not to biases and norms), but to none by these names.

    Args:
        undecayed: names of variables that are matrices by shape but biases by nature: position tables
            and tokens. Models list their own as `no_weight_decay`.
    """
    return len(variable.shape) > 1 and variable.name not in undecayed


def all_finite(gradients):
    """Scalar bool: whether all numbers in a list of gradients (None left out) are finite.

    By the sum of their squares, which a gradient of 1e19 makes infinite: not finite either.
    """
    gradients = [gradient for gradient in gradients if gradient is not None]
    if keras.backend.backend() == "torch":
        return fused_adam.all_finite(gradients)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        total = tf.add_n(
            [tf.nn.l2_loss(tf.cast(tf.convert_to_tensor(g), "float32")) for g in gradients]
        )
        return tf.math.is_finite(total)
    return ops.isfinite(sum_of_squares(gradients))


def _replicas():
    """How many devices of TensorFlow share this step."""
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def layer_decay_scales(backbone, layer_decay):
    """Learning-rate factors of layer-wise decay (Bao et al., 2021, BEiT).

    Args:
        backbone: encoder with `num_blocks` and `depth_of(path)`.
        layer_decay: factor from one layer to the layer below it; 1 turns it off.

    Returns:
        dict from variable path to factor: `layer_decay ** (num_blocks + 1 - depth)`. Variables
        outside the encoder (the head) are not in it and train at the full rate.
    """
    top = backbone.num_blocks + 1
    return {
        variable.path: layer_decay ** (top - backbone.depth_of(variable.path))
        for variable in backbone.trainable_variables
    }


@keras.saving.register_keras_serializable(package="eesmm_keras")
class LayerDecayAdamW(keras.optimizers.AdamW):
    """AdamW with a learning-rate factor for each variable, decay of kernels only, and a guard.

    As with PyTorch's parameter groups, a variable's factor scales its weight decay too. Biases,
    norms and the variables named in `undecayed` are not decayed.

    A step whose gradients are not all finite changes neither weights nor moments; it is counted in
    `skipped` (int variable) and in `iterations`. With gradient accumulation such a step adds
    nothing to the sum. Models of this package make the gradients of a non-finite loss non-finite.

    Args:
        learning_rate: float or schedule.
        weight_decay: decoupled weight decay.
        lr_scales: dict from variable path to learning-rate factor, for example from
            `layer_decay_scales`; other variables have factor 1.
        undecayed: names of variables that are not decayed, see `is_decayed`. None: those that the
            model lists as `no_weight_decay`, which a model of this package tells in `compile`.
        **kwargs: of `keras.optimizers.AdamW`.

    Attributes:
        rate_factor: float variable, a factor on all learning rates: 1, until somebody assigns it.
        takes_sums: whether gradients come summed over the replicas of TensorFlow; False: `apply` sums
            them, before it clips them or looks whether they are finite.

    Raises:
        ValueError: `amsgrad`, which is not supported.
    """

    def __init__(
        self, learning_rate=1e-3, weight_decay=0.05, lr_scales=None, undecayed=None, **kwargs
    ):
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        if self.amsgrad:
            raise ValueError("LayerDecayAdamW has no amsgrad. Use keras.optimizers.AdamW for it.")
        self.lr_scales = dict(lr_scales or {})
        self.undecayed = undecayed
        # Keras swaps EMA weights in after every `fit`; defer until the last.
        self.hold_average = False
        self.takes_sums = False

    def build(self, variables):
        if self.built:  # Keras' loss scaling builds it again
            return
        super().build(variables)
        self._scales = [self.lr_scales.get(variable.path, 1.0) for variable in variables]
        self._decayed = self._which_decay(variables)
        self.skipped = self.add_variable((), dtype="int32", name="skipped")
        self.rate_factor = self.add_variable((), "ones", dtype="float32", name="rate_factor")

    @property
    def undecayed(self):
        """Names of variables that are not decayed; a tuple, or None where nobody has told yet."""
        return self._undecayed

    @undecayed.setter
    def undecayed(self, names):
        self._undecayed = None if names is None else tuple(names)
        if self.built:
            self._decayed = self._which_decay(self._trainable_variables)

    def _which_decay(self, variables):
        return [is_decayed(variable, self.undecayed or ()) for variable in variables]

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        if keras.backend.backend() == "tensorflow" and not self.takes_sums:
            grads = sum_over_replicas(grads)
        good = self._good = all_finite(grads)
        if self.gradient_accumulation_steps:
            # The update is that of the sum, which only takes what is finite.
            self._good = ops.ones_like(good)
            grads = [g if g is None else where(good, g, 0) for g in grads]
        super().apply(grads, trainable_variables)
        self.skipped.assign_add(1 - ops.cast(good, "int32"))

    def _apply_weight_decay(self, variables):
        """Done in the update, where the variable's own learning rate is known."""

    def _backend_update_step(self, gradients, variables, learning_rate):
        learning_rate = learning_rate * self.rate_factor
        backend = keras.backend.backend()
        if backend == "torch":
            self._update_together(gradients, variables, learning_rate)
        elif backend == "jax":
            good = Flags(self._good, variables)
            for gradient, variable in zip(gradients, variables, strict=True):
                self._update_where_good(gradient, variable, learning_rate, good.of(variable))
        elif _replicas() > 1:
            # Each variable's update runs once for every device: `update_step`.
            super()._backend_update_step(gradients, variables, learning_rate)
        else:
            self._update_if_good(gradients, variables, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Done in `apply`: Keras 3.15 would do it behind clipping."""
        return grads_and_vars

    def update_step(self, gradient, variable, learning_rate):
        self._update_if_good([gradient], [variable], learning_rate)

    def _update_if_good(self, gradients, variables, learning_rate):
        """One condition for all variables: under XLA each would be a wait for the device."""
        import tensorflow as tf

        def update():
            for gradient, variable in zip(gradients, variables, strict=True):
                self._update_at_once(gradient, variable, learning_rate)

        tf.cond(self._good, update, lambda: None)

    def _rate_and_decay(self, variable, learning_rate):
        """A variable's own learning rate, and the share of it that decays in this step."""
        index = self._get_variable_index(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype) * self._scales[index]
        return learning_rate, self.weight_decay * learning_rate if self._decayed[index] else 0.0

    def _beta_powers(self, dtype):
        step = ops.cast(self.iterations + 1, dtype)
        return (ops.power(ops.cast(beta, dtype), step) for beta in (self.beta_1, self.beta_2))

    def _update_where_good(self, gradient, variable, learning_rate, good):
        """Plain-op Adam that the compiler can fuse."""
        index = self._get_variable_index(variable)
        learning_rate, decay = self._rate_and_decay(variable, learning_rate)
        first, second = self._momentums[index], self._velocities[index]
        beta_1_power, beta_2_power = self._beta_powers(variable.dtype)
        rate = learning_rate * ops.sqrt(1 - beta_2_power) / (1 - beta_1_power)
        gradient = ops.cast(gradient, variable.dtype)
        new_first = first + (gradient - first) * (1 - self.beta_1)
        new_second = second + (ops.square(gradient) - second) * (1 - self.beta_2)
        step = rate * new_first / (ops.sqrt(new_second) + self.epsilon)
        new = variable * (1 - decay) - step
        for target, value in ((variable, new), (first, new_first), (second, new_second)):
            self.assign(target, ops.where(good, value, ops.convert_to_tensor(target)))

    def _update_at_once(self, gradient, variable, learning_rate):
        """Adam by TensorFlow's own kernel: one pass over memory instead of a dozen."""
        import tensorflow as tf

        learning_rate, decay = self._rate_and_decay(variable, learning_rate)
        if self._decayed[self._get_variable_index(variable)] and self.weight_decay:
            self.assign_sub(variable, variable * decay)

        def handle(x):
            return (x.value if isinstance(x, keras.Variable) else x).handle

        index = self._get_variable_index(variable)
        beta_1_power, beta_2_power = self._beta_powers(variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=handle(variable),
            m=handle(self._momentums[index]),
            v=handle(self._velocities[index]),
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=learning_rate,
            beta1=ops.cast(self.beta_1, variable.dtype),
            beta2=ops.cast(self.beta_2, variable.dtype),
            epsilon=ops.cast(self.epsilon, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
        )

    def _update_together(self, gradients, variables, learning_rate):
        """Adam by PyTorch's fused kernels: a few calls for all variables of one rate."""
        groups = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            decayed = self._decayed[index] and bool(self.weight_decay)
            moments = self._momentums[index].value, self._velocities[index].value
            group = groups.setdefault((self._scales[index], decayed), ([], [], [], []))
            for members, value in zip(group, (gradient, variable.value, *moments), strict=True):
                members.append(value)
        step = ops.convert_to_tensor(self.iterations) + 1
        correction = (1 - self.beta_2**step) ** 0.5 / (1 - self.beta_1**step)
        decay = learning_rate * (self.weight_decay or 0.0)
        update = fused_adam.FusedAdam(
            self._good, learning_rate * correction, decay, self.beta_1, self.beta_2, self.epsilon
        )
        for (scale, decayed), lists in groups.items():
            update(*lists, scale, decayed)

    def finalize_variable_values(self, var_list):
        """With `use_ema`, put the average into the weights; while `hold_average`, do nothing."""
        if self.hold_average:
            return
        super().finalize_variable_values(var_list)
        if self.use_ema:
            # On JAX the weights would now share buffers with their averages, and the next
            # compiled function, to which both are donated, would find one of them deleted.
            for average in self._model_variables_moving_average:
                if average is not None:
                    average.assign(ops.copy(average))

    def get_config(self):
        return {
            **super().get_config(), "lr_scales": self.lr_scales, "undecayed": self.undecayed,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return super().from_config({"undecayed": UNDECAYED_BEFORE, **config}, custom_objects)
