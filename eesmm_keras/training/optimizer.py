import keras
from keras import ops

# Tables and tokens that are matrices by shape but biases by nature.
_NEVER_DECAYED = ("relative_position_table", "mask_token")


def is_decayed(variable):
    """Whether weight decay applies: kernels yes; biases, norms, position tables, tokens no."""
    return len(variable.shape) > 1 and variable.name not in _NEVER_DECAYED


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
    """AdamW with a learning-rate factor for each variable, and decay of kernels only.

    As with PyTorch's parameter groups, a variable's factor scales its weight decay too. Biases,
    norms, relative position tables and mask tokens are not decayed.

    Args:
        learning_rate: float or schedule.
        weight_decay: decoupled weight decay.
        lr_scales: dict from variable path to learning-rate factor, for example from
            `layer_decay_scales`; other variables have factor 1.
        **kwargs: of `keras.optimizers.AdamW`.
    """

    def __init__(self, learning_rate=1e-3, weight_decay=0.05, lr_scales=None, **kwargs):
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        self.lr_scales = dict(lr_scales or {})

    def build(self, variables):
        super().build(variables)
        self._scales = [self.lr_scales.get(variable.path, 1.0) for variable in variables]
        self._decayed = [is_decayed(variable) for variable in variables]

    def _apply_weight_decay(self, variables):
        """Done in the update, where the variable's own learning rate is known."""

    def _backend_update_step(self, gradients, variables, learning_rate):
        if keras.backend.backend() == "torch" and not self.amsgrad:
            self._update_together(gradients, variables, learning_rate)
        else:
            super()._backend_update_step(gradients, variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype) * self._scales[index]
        if self._decayed[index] and self.weight_decay:
            self.assign_sub(variable, variable * (self.weight_decay * learning_rate))
        if keras.backend.backend() == "tensorflow" and not self.amsgrad:
            self._update_at_once(gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _beta_powers(self, dtype):
        step = ops.cast(self.iterations + 1, dtype)
        return (ops.power(ops.cast(beta, dtype), step) for beta in (self.beta_1, self.beta_2))

    def _update_at_once(self, gradient, variable, learning_rate):
        """Adam by TensorFlow's own kernel: one pass over memory instead of a dozen."""
        import tensorflow as tf

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
        """Adam by PyTorch's multi-tensor kernels: a few calls for all variables of one rate."""
        import torch

        groups = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            decayed = self._decayed[index] and bool(self.weight_decay)
            moments = self._momentums[index].value, self._velocities[index].value
            group = groups.setdefault((self._scales[index], decayed), ([], [], [], []))
            for members, value in zip(group, (gradient, variable.value, *moments), strict=True):
                members.append(value)
        beta_1_power, beta_2_power = self._beta_powers("float32")
        correction = ops.sqrt(1 - beta_2_power) / (1 - beta_1_power)
        with torch.no_grad():
            for (scale, decayed), (gradients, values, first, second) in groups.items():
                rate = learning_rate * scale
                if decayed:
                    torch._foreach_mul_(values, 1 - self.weight_decay * rate)
                torch._foreach_lerp_(first, gradients, 1 - self.beta_1)
                torch._foreach_mul_(second, self.beta_2)
                torch._foreach_addcmul_(second, gradients, gradients, 1 - self.beta_2)
                divisor = torch._foreach_sqrt(second)
                torch._foreach_add_(divisor, self.epsilon)
                update = torch._foreach_div(first, divisor)
                torch._foreach_mul_(update, -rate * correction)
                torch._foreach_add_(values, update)

    def finalize_variable_values(self, var_list):
        super().finalize_variable_values(var_list)
        if self.use_ema:
            # On JAX the weights would now share buffers with their averages, and the next
            # compiled function, to which both are donated, would find one of them deleted.
            for average in self._model_variables_moving_average:
                if average is not None:
                    average.assign(ops.copy(average))

    def get_config(self):
        return {**super().get_config(), "lr_scales": self.lr_scales}
