"""The exact GELU with its own gradient, which keeps nothing but the input between the passes."""

import math

import keras
from keras import ops


def gelu(x, training=False):
    """`x * P(X <= x)` for a standard normal X (Hendrycks and Gimpel, 2016), not an approximation.

    Plain operations keep several intermediate results for the backward pass, and TensorFlow runs each
    of a dozen operations by itself; here both passes are one kernel each, which XLA compiles. PyTorch's
    own function does as much. Outside of training TensorFlow runs its plain operation, which every
    export understands.

    Args:
        x: tensor of any shape. training: whether gradients will be asked for.
    """
    backend = keras.backend.backend()
    if backend == "jax" or (backend == "tensorflow" and training):
        return _gelu(x)
    return ops.gelu(x, approximate=False)


def _compiled(function):
    """One kernel on TensorFlow too; on JAX the whole step is compiled anyway."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def _wide(x):
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


@_compiled
def _value(x):
    wide = _wide(x)
    return ops.cast(0.5 * wide * (1.0 + ops.erf(wide / math.sqrt(2.0))), x.dtype)


@_compiled
def _slope(x, upstream):
    wide = _wide(x)
    below = 0.5 * (1.0 + ops.erf(wide / math.sqrt(2.0)))
    density = ops.exp(-0.5 * ops.square(wide)) / math.sqrt(2.0 * math.pi)
    return ops.cast(_wide(upstream) * (below + wide * density), x.dtype)


@ops.custom_gradient
def _gelu(x):
    def gradient(upstream):
        return _slope(x, upstream)

    return _value(x), gradient
