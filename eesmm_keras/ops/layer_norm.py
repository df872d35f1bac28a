"""Layer normalisation over the last axis, in fewer passes over memory."""

from functools import cache

from keras import ops


def one_pass_normalization(x, gamma, beta, epsilon):
    """Layer normalisation of half-precision numbers, with both moments from one pass.

    `E[x^2] - E[x]^2` in float32 is more precise than half precision itself, as long as the mean is
    not hundreds of deviations.

    Args:
        x: `(..., C)` in half precision. gamma, beta: `(C,)`. epsilon: under the root.

    Returns:
        same shape, float32.
    """
    wide = ops.cast(x, "float32")
    mean = ops.mean(wide, axis=-1, keepdims=True)
    square = ops.mean(ops.square(wide), axis=-1, keepdims=True)
    variance = ops.maximum(square - ops.square(mean), 0.0)
    return _normalized(wide, mean, ops.rsqrt(variance + epsilon), gamma, beta)


@cache
def normalization_for_processors(epsilon):
    """Function of `x (..., C), gamma, beta`, all float32, for TensorFlow on a processor.

    Plain operations go a dozen times over memory on the way back. This gradient goes over it six times:
    all its sums are products with vectors.

    Args:
        epsilon: under the root.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def normalization(x, gamma, beta):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        scale = tf.math.rsqrt(variance + epsilon)

        def gradient(upstream):
            width = x.shape[-1]
            rows, up = tf.reshape(x, (-1, width)), tf.reshape(upstream, (-1, width))
            middle, steep = tf.reshape(mean, (-1, 1)), tf.reshape(scale, (-1, 1))
            product, weights = up * rows, gamma[:, None] / width
            # Columns: sum(up), and sum(up * (x - mean) * scale) without its products.
            plain = tf.matmul(
                tf.concat([tf.ones_like(steep), steep * middle], axis=1), up, transpose_a=True
            )
            to_gamma = tf.matmul(steep, product, transpose_a=True)[0] - plain[1]
            # Rows: the means of up * gamma, and of the same times (x - mean) * scale.
            mean_up = tf.matmul(up, weights)
            mean_product = steep * (tf.matmul(product, weights) - middle * mean_up)
            slope = steep * steep * mean_product
            to_x = up * gamma * steep - rows * slope + (middle * slope - steep * mean_up)
            return tf.reshape(to_x, tf.shape(x)), to_gamma, plain[0]

        return _normalized(x, mean, scale, gamma, beta), gradient

    return normalization


def _normalized(x, mean, scale, gamma, beta):
    scale = scale * gamma
    return x * scale + (beta - mean * scale)
