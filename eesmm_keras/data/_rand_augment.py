"""RandAugment whose choices are a pure function of a seed; the pixels are KerasCV's work."""

from functools import partial

import keras
import tensorflow as tf

from eesmm_keras.data._stateless import normal, split, uniform

# KerasCV's policy: spread of the strength, and RandAugment's share of operations that are done.
_STDDEV = 0.15
_RATE = 10 / 11
_MAX_ADDITION = 110
_OPERATIONS = 10
# The one that has no batched form but a loop which TensorFlow warns about.
_EQUALIZE = 1


class RandAugment:
    """RandAugment (arXiv:1909.13719) with KerasCV's ten operations and strengths.

    KerasCV's layers draw from generators of their own, which no step number can reset. So the
    draws are made here and handed to the layers' `augment_images`, and each operation works on all
    images that drew it at once.

    Args:
        magnitude: strength in [0, 1]. operations: int, operations per image.
    """

    def __init__(self, magnitude, operations):
        from keras_cv import layers  # takes seconds: only for those who augment

        self.magnitude, self.operations = magnitude, operations
        # The layers compute in the global policy, and half precision would round pixel values.
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            self._layers = layers.RandAugment.get_standard_policy((0, 255), magnitude, _STDDEV)
        finally:
            keras.config.set_dtype_policy(policy)

    def __call__(self, images, seed):
        """Augment a batch, in a TensorFlow graph.

        Args:
            images: float32 `(B, H, W, 3)`, values of 0..255.
            seed: integer tensor `(2,)`.

        Returns:
            float32 `(B, H, W, 3)`.
        """
        # A function of its own, so that it is traced once and not once an operation.
        one_round = tf.function(self._round)
        for one in split(seed, self.operations):
            images = one_round(images, one)
        return images

    def _round(self, images, seed):
        count = tf.shape(images)[0]
        choice_seed, skip_seed, *seeds = split(seed, 5)
        choice = uniform(choice_seed, (count,), maxval=_OPERATIONS, dtype=tf.int32)
        skipped = uniform(skip_seed, (count,)) > _RATE
        choice = tf.where(skipped, _OPERATIONS, choice)
        normals = normal(seeds[0], (count, 2))
        uniforms = uniform(seeds[1], (count, 1), minval=-1.0)
        sign = tf.sign(uniform(seeds[2], (count, 1), minval=-1.0))
        parts = [
            tf.dynamic_partition(x, choice, _OPERATIONS + 1)
            for x in (tf.range(count), images, normals, uniforms, sign)
        ]
        rows, *parts = parts
        done = [
            # A branch, for some of the layers cannot work on no image.
            tf.cond(
                tf.size(rows[k]) > 0,
                partial(self._operate, k, *(part[k] for part in parts)),
                partial(tf.identity, parts[0][k]),
            )
            for k in range(_OPERATIONS)
        ]
        result = tf.dynamic_stitch(rows, [*done, parts[0][_OPERATIONS]])
        return tf.ensure_shape(result, images.shape)

    def _operate(self, k, images, normals, uniforms, sign):
        """Operation `k` on images that all drew it."""
        m = self.magnitude
        drawn = m + _STDDEV * normals[:, :1]
        strength = tf.clip_by_value(drawn, 0.0, 1.0)
        threshold = tf.clip_by_value(1.0 - m + _STDDEV * normals[:, 1:], 0.0, 1.0)
        none = tf.zeros_like(sign)

        def per_pixel(x):
            return x[:, :, None, None]

        # In the order of get_standard_policy, in the terms of each layer's augment_images.
        transformations = (
            None,
            None,
            {
                "additions": per_pixel(strength * _MAX_ADDITION),
                "thresholds": per_pixel(threshold * 255.0),
            },
            per_pixel(strength),
            per_pixel(1.0 + max(m, 0.001) * uniforms),
            per_pixel(m * uniforms * 255.0),
            {"shear_x": strength * sign, "shear_y": None},
            {"shear_x": None, "shear_y": strength * sign},
            {"width_translations": m * uniforms, "height_translations": none},
            {"width_translations": none, "height_translations": m * uniforms},
        )
        operation = partial(self._layers[k].augment_images, transformations=transformations[k])
        if k == _EQUALIZE:
            return tf.map_fn(lambda image: operation(image[None])[0], images)
        return operation(images)
