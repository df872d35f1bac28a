"""Initial weights of dense kernels."""

import keras


def dense_kernel(identifier=None):
    """A new initializer: that of Keras by this name; None is Swin's truncated normal of 0.02.

    Raises:
        ValueError: no such initializer.
    """
    if identifier is None:
        return keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.initializers.get(identifier)
