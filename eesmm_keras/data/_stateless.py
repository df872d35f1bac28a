"""Random numbers that are a pure function of a seed, in TensorFlow graphs."""

import tensorflow as tf

# Named, because "auto" may give other numbers on another device.
_ALGORITHM = "philox"


def split(seed, count):
    """A list of `count` independent seeds out of one, each an integer tensor `(2,)`."""
    return tf.unstack(tf.random.split(seed, count, alg=_ALGORITHM))


def uniform(seed, shape, minval=0, maxval=1, dtype=tf.float32):
    """Numbers in [minval, maxval)."""
    return tf.random.stateless_uniform(shape, seed, minval, maxval, dtype, alg=_ALGORITHM)


def normal(seed, shape):
    """Standard normal numbers."""
    return tf.random.stateless_normal(shape, seed, alg=_ALGORITHM)


def beta(seed, shape, alpha):
    """Numbers of the symmetric Beta distribution Beta(alpha, alpha)."""
    # Both may underflow to zero where alpha is tiny; the distribution's ends are all there is then.
    one, two = (tf.random.stateless_gamma(shape, part, alpha) for part in split(seed, 2))
    return tf.math.divide_no_nan(one, one + two)


def permutation(seed, count):
    """`range(count)` in a random order."""
    return tf.argsort(uniform(seed, (count,)))


def boxes(seed, count, height, width, sides, inside):
    """Random boxes as masks.

    Args:
        seed: see `split`. count: number of boxes. height, width: of the pictures in pixels.
        sides: `(count, 2)`, heights and widths as shares of the picture's.
        inside: bool, whether a box lies within the picture; otherwise its centre does, and what
            sticks out is cut off.

    Returns:
        bool `(count, height, width, 1)`.
    """
    place = uniform(seed, (count, 2))
    result = None
    for axis, length in enumerate((height, width)):
        size = tf.round(sides[:, axis] * tf.cast(length, tf.float32))
        if inside:
            low = tf.floor(place[:, axis] * (tf.cast(length, tf.float32) - size + 1.0))
        else:
            low = tf.round(place[:, axis] * tf.cast(length, tf.float32) - size / 2.0)
        pixels = tf.range(length, dtype=tf.float32)
        covered = (pixels >= low[:, None]) & (pixels < (low + size)[:, None])
        covered = tf.expand_dims(covered, 2 - axis)
        result = covered if result is None else result & covered
    return result[..., None]
