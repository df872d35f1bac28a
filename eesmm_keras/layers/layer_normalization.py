import keras
from keras import ops

from eesmm_keras.ops.layer_norm import normalization_for_processors, one_pass_normalization


@keras.saving.register_keras_serializable(package="eesmm_keras")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, in fewer passes over memory.

    The name stays, since it stands in the files of models. On JAX in half precision both moments come
    from one pass; on TensorFlow's processors training has a gradient of its own. Elsewhere (PyTorch,
    GPUs, float32 on JAX) what Keras does is as good.

    Args: of `keras.layers.LayerNormalization`.
    """

    def call(self, inputs, training=None):
        if self.gamma is None or self.beta is None:
            return super().call(inputs)
        backend, kind = keras.backend.backend(), keras.backend.standardize_dtype(inputs.dtype)
        if backend == "jax" and kind in ("bfloat16", "float16"):
            numbers = (ops.cast(v, "float32") for v in (self.gamma, self.beta))
            outputs = one_pass_normalization(inputs, *numbers, self.epsilon)
        elif backend == "tensorflow" and training and _on_processors():
            run = normalization_for_processors(self.epsilon)
            outputs = run(*(ops.cast(v, "float32") for v in (inputs, self.gamma, self.beta)))
        else:
            return super().call(inputs)
        return ops.cast(outputs, self.compute_dtype)


def _on_processors():
    """Whether TensorFlow has no GPU, whose products of float32 would be less precise."""
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")
